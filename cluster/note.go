package cluster

import (
	"fmt"
	"log/slog"
	"sync"
)

// note is the one sentence that tells an operator what a node waits for, or why
// it cannot go on. A new sentence is logged once.
type note struct {
	log *slog.Logger

	mu   sync.Mutex
	text string
}

func (n *note) set(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	n.mu.Lock()
	defer n.mu.Unlock()
	if text == n.text {
		return
	}
	n.text = text
	if text != "" {
		n.log.Info(text)
	}
}

func (n *note) clear() { n.set("") }

func (n *note) get() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text
}
