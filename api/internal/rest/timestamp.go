package rest

import "time"

// Timestamp is an instant in the API's one spelling: RFC 3339, UTC, always three decimals.
type Timestamp struct{ time.Time }

// AppendTimestamp appends t as a JSON string. Package time writes RFC 3339 without decimals several times faster than a
// layout of one's own, so the decimals go in by hand.
func AppendTimestamp(b []byte, t time.Time) []byte {
	t = t.UTC()
	b = append(b, '"')
	b = t.AppendFormat(b, time.RFC3339)
	ms := t.Nanosecond() / int(time.Millisecond)
	return append(b[:len(b)-len("Z")], '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10), 'Z', '"')
}

// MarshalJSON writes the one spelling.
func (t Timestamp) MarshalJSON() ([]byte, error) { return AppendTimestamp(nil, t.Time), nil }
