package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// assign puts a value, as YAML, a variable or a flag gave it, into the field. It answers what is wrong, "" when nothing is.
// The text of a secret is not repeated.
func assign(field, value any, secret bool) string {
	switch f := field.(type) {
	case *string:
		return assignText(f, value, secret)
	case *int:
		return assignNumber(f, value)
	case *bool:
		return assignBool(f, value)
	case *time.Duration:
		return assignDuration(f, value)
	case *[]string:
		return assignList(f, value, secret)
	}
	return fmt.Sprintf("a setting of type %T cannot be read", field)
}

func assignText(field *string, value any, secret bool) string {
	switch v := value.(type) {
	case string:
		*field = strings.TrimSpace(v)
	case int:
		*field = strconv.Itoa(v)
	default:
		if secret {
			return "a text is needed here: put it in quotes"
		}
		return "a text is needed here, this is " + describe(value)
	}
	return ""
}

func assignNumber(field *int, value any) string {
	switch v := value.(type) {
	case int:
		*field = v
		return ""
	case string:
		if n, err := strconv.Atoi(strings.TrimSpace(v)); err == nil {
			*field = n
			return ""
		}
	}
	return "a whole number is needed here, this is " + describe(value)
}

func assignBool(field *bool, value any) string {
	switch v := value.(type) {
	case bool:
		*field = v
		return ""
	case string:
		switch strings.ToLower(strings.TrimSpace(v)) {
		case "true":
			*field = true
			return ""
		case "false":
			*field = false
			return ""
		}
	}
	return "true or false is needed here, this is " + describe(value)
}

func assignDuration(field *time.Duration, value any) string {
	text, ok := value.(string)
	if ok {
		d, err := time.ParseDuration(strings.TrimSpace(text))
		if err == nil {
			*field = d
			return ""
		}
	}
	return "a duration with its unit is needed here, such as 500ms, 5s or 72h; this is " + describe(value)
}

// assignList takes a YAML list, or a text with commas between the items.
func assignList(field *[]string, value any, secret bool) string {
	var items []string
	switch v := value.(type) {
	case string:
		items = strings.Split(v, ",")
	case []any:
		for _, item := range v {
			text, ok := item.(string)
			if !ok {
				if secret {
					return "every item must be a text: put it in quotes"
				}
				return "every item must be a text, this one is " + describe(item)
			}
			items = append(items, text)
		}
	default:
		if secret {
			return "a list of texts is needed here"
		}
		return "a list is needed here, this is " + describe(value)
	}
	*field = nil
	for _, item := range items {
		if item = strings.TrimSpace(item); item != "" {
			*field = append(*field, item)
		}
	}
	return ""
}

// describe shows a value of the wrong kind, briefly.
func describe(value any) string {
	switch v := value.(type) {
	case string:
		const most = 60
		if len(v) > most {
			v = v[:most] + "…"
		}
		return strconv.Quote(v)
	case map[string]any:
		return "a section"
	case []any:
		return "a list"
	case nil:
		return "nothing"
	}
	return fmt.Sprint(value)
}
