package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// table is what a person sees: rows of cells under a head. Without a head it is a list of names and values.
type table struct {
	head []string
	rows [][]string
	foot string // a line below, "" = none
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// write aligns the columns. Cells come from the cluster and may hold anything: control characters are made visible so
// that a user's agent string cannot repaint the terminal.
func (t *table) write(w io.Writer) error {
	var out bytes.Buffer
	tabs := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	if len(t.head) > 0 {
		fmt.Fprintln(tabs, strings.ToUpper(strings.Join(t.head, "\t")))
	}
	for _, row := range t.rows {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(tabs, "\t")
			}
			fmt.Fprint(tabs, printable(cell))
		}
		fmt.Fprintln(tabs)
	}
	if err := tabs.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(out.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	if t.foot != "" {
		if _, err := fmt.Fprintln(w, t.foot); err != nil {
			return err
		}
	}
	return nil
}

func printable(s string) string {
	if s == "" {
		return "-"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}

// writeJSON writes one indented document.
func writeJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// instant is a time for tables: local to nobody, to the second.
func instant(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// span is a duration for tables: 1h30m, not 1h30m0s.
func span(d time.Duration) string {
	if d == 0 {
		return "none"
	}
	text := d.Round(time.Millisecond).String()
	text = strings.TrimSuffix(text, "0s")
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	if text == "" || strings.HasSuffix(text, ".") || !strings.ContainsAny(text[len(text)-1:], "hms") {
		return d.Round(time.Millisecond).String()
	}
	return text
}

// writeCompactJSON writes one line without its end.
func writeCompactJSON(w io.Writer, value any) error {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	_, err := w.Write(bytes.TrimSuffix(out.Bytes(), []byte("\n")))
	return err
}
