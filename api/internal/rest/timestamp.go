package rest

import "time"

// Timestamp is an instant in the API's one spelling: RFC 3339, UTC, always three decimals.
type Timestamp struct{ time.Time }

const timestampLayout = "2006-01-02T15:04:05.000Z"

// AppendTimestamp appends t as a JSON string.
func AppendTimestamp(b []byte, t time.Time) []byte {
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, timestampLayout)
	return append(b, '"')
}

// MarshalJSON writes the one spelling.
func (t Timestamp) MarshalJSON() ([]byte, error) { return AppendTimestamp(nil, t.Time), nil }
