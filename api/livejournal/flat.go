package livejournal

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/hydrastore/hydrastore/api/protocol"
)

const expirePrefix = "expire_id_"

// serveFlat answers one request of the flat protocol.
func (d *desk) serveFlat(ctx context.Context, in *protocol.Request) (protocol.Response, error) {
	var body []byte
	if in.Method == http.MethodPost {
		body = in.Body
	}
	if err := limitBody(body); err != nil {
		return protocol.Response{}, err
	}
	args, err := parseForm(body)
	if err != nil {
		return protocol.Response{}, err
	}
	r := &request{mode: args["mode"], args: args, call: in.Call, headers: in.Header}
	encode := args["responseenc"] == "urlenc"
	out, err := d.flat(ctx, r)
	if err != nil {
		return protocol.Response{}, &asked{err, r.mode, encode}
	}
	pairs := map[string]string{"success": "OK"}
	maps.Copy(pairs, out.texts)
	for name, n := range out.numbers {
		pairs[name] = strconv.FormatInt(n, 10)
	}
	return protocol.Response{
		Status: http.StatusOK, ContentType: "text/plain", Body: writeFlat(pairs, encode), Header: out.header(), Operation: r.mode,
	}, nil
}

// flat dispatches in the order of LiveJournal's servers.
func (d *desk) flat(ctx context.Context, r *request) (reply, error) {
	switch r.mode {
	case "":
		return reply{}, refusedInWords("No mode specified.")
	case modeChallenge:
		return d.answer(ctx, r)
	}
	var ok bool
	if r.user, ok = d.config.canonicalUser(r.args["user"]); !ok {
		return reply{}, refusedInWords("No username sent.")
	}
	if !slices.Contains(modes(), r.mode) {
		return reply{}, refusedInWords("Unknown mode (" + r.mode + ")")
	}
	for name, value := range r.args {
		if id, found := strings.CutPrefix(name, expirePrefix); found && isTrue(value) {
			r.ids = append(r.ids, id)
		}
	}
	out, err := d.answer(ctx, r)
	switch r.mode {
	case modeLogin: // the flat form of it
		delete(out.texts, "username")
		delete(out.texts, "fullname")
	}
	return out, err
}

// parseForm reads what HTML forms send. Escapes that are none stand for themselves, as with LiveJournal's servers; a name that comes twice is refused,
// because who reads the other one would be led astray.
func parseForm(body []byte) (map[string]string, error) {
	args := map[string]string{}
	for rest := string(body); rest != ""; {
		var pair string
		pair, rest, _ = strings.Cut(rest, "&")
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, value = unescape(name), unescape(value)
		if _, twice := args[name]; twice {
			return nil, refused(codeArguments, "an argument is given twice")
		}
		if len(args) == MaxArguments {
			return nil, refused(codeTooMany, "")
		}
		args[name] = value
	}
	return args, nil
}

func unescape(text string) string {
	if !strings.ContainsAny(text, "%+") {
		return text
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '+':
			out = append(out, ' ')
		case c == '%' && i+2 < len(text) && isHex(text[i+1]) && isHex(text[i+2]):
			n, _ := strconv.ParseUint(text[i+1:i+3], 16, 8)
			out = append(out, byte(n))
			i += 2
		default:
			out = append(out, c)
		}
	}
	return string(out)
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// failFlat answers a request that failed.
func failFlat(f protocol.Failure) protocol.Response {
	var a *asked
	if !errors.As(f.Err, &a) {
		a = &asked{}
	}
	pairs := map[string]string{"success": "FAIL", "errmsg": faultOf(f).text}
	return protocol.Response{Status: status(f), ContentType: "text/plain", Body: writeFlat(pairs, a.urlEncode), Operation: a.mode}
}

// writeFlat writes names and values a line each, in the order of the names, or as a form with a last "&".
func writeFlat(pairs map[string]string, encode bool) []byte {
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(pairs)) {
		if encode {
			out.WriteString(url.QueryEscape(name) + "=" + url.QueryEscape(pairs[name]) + "&")
		} else {
			out.WriteString(oneLine(name) + "\n" + oneLine(pairs[name]) + "\n")
		}
	}
	return []byte(out.String())
}

func oneLine(text string) string { return strings.NewReplacer("\r", "", "\n", "").Replace(text) }
