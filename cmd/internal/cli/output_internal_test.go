package cli

import (
	"strings"
	"testing"
	"time"
)

func TestSpan(t *testing.T) {
	t.Parallel()
	cases := map[time.Duration]string{
		0: "none", time.Second: "1s", 10 * time.Second: "10s", 90 * time.Second: "1m30s", 30 * time.Minute: "30m",
		12 * time.Hour: "12h", 90 * time.Minute: "1h30m", 1500 * time.Millisecond: "1.5s", 20 * time.Millisecond: "20ms",
		time.Hour + 20*time.Second: "1h0m20s", 100 * time.Second: "1m40s", 10 * time.Minute: "10m", 20 * time.Hour: "20h",
	}
	for d, want := range cases {
		if got := span(d); got != want {
			t.Errorf("span(%v): got %q, want %q", d, got, want)
		}
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	tab := table{head: []string{"user", "agent"}, foot: "1 more"}
	tab.add("ada", "curl\x1b[2J\tx")
	tab.add("bartholomew", "")
	var out strings.Builder
	if err := tab.write(&out); err != nil {
		t.Fatal(err)
	}
	want := "USER         AGENT\nada          curl\uFFFD[2J\uFFFDx\nbartholomew  -\n1 more\n"
	if out.String() != want {
		t.Errorf("got\n%q\nwant\n%q", out.String(), want)
	}
}
