package cli

import (
	"slices"
	"strings"

	"github.com/hydrastore/hydrastore/session"
)

// gathered is a list of several pages.
type gathered[T any] struct {
	items []T
	nodes []string // whose sessions alone the pages speak of; none = all of the cluster's
	more  bool     // there are more than were asked for
}

// gather goes through the pages of a list, up to limit items; 0 = all.
func gather[T any](limit int, page func(session.Page) (items []T, cursor string, m session.Meta, err error)) (out gathered[T], err error) {
	for next := (session.Page{Limit: session.MaxPageSize}); ; {
		items, cursor, meta, err := page(next)
		if err != nil {
			return out, err
		}
		out.items = append(out.items, items...)
		if meta.Node != "" && !slices.Contains(out.nodes, meta.Node) {
			out.nodes = append(out.nodes, meta.Node)
		}
		if limit > 0 && len(out.items) > limit {
			out.items, out.more = out.items[:limit], true
			return out, nil
		}
		if next.Cursor = cursor; cursor == "" {
			return out, nil
		}
	}
}

// ofNodes says whose sessions alone an answer speaks of; "" when they are all of the cluster's.
func ofNodes(what string, nodes ...string) string {
	nodes = slices.DeleteFunc(nodes, func(node string) bool { return node == "" })
	switch len(nodes) {
	case 0:
		return ""
	case 1:
		return what + " of node " + nodes[0] + " alone: each node keeps its own"
	}
	return what + " of nodes " + strings.Join(nodes, ", ") + ", each alone: each node keeps its own"
}

// lines puts those that say something one below the other.
func lines(all ...string) string {
	return strings.Join(slices.DeleteFunc(all, func(line string) bool { return line == "" }), "\n")
}
