package config

import "strings"

// refusedText tells why a setting that people know from elsewhere is refused, "" when there is nothing to tell. Ignoring it
// silently would promise behaviour that nobody gets.
func refusedText(key string) string {
	section, _, _ := strings.Cut(key, ".")
	switch section {
	case "tokenizer", "jsonActionApiDefaults":
		return "has no effect in this version and is refused rather than ignored; remove it"
	}
	return ""
}
