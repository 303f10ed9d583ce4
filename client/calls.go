package client

import (
	"context"
	"iter"
	"net/http"
	"strconv"

	"github.com/hydrastore/hydrastore/session"
)

// change sends a request whose answer has no body.
func (c *Client) change(ctx context.Context, r *request) (session.Meta, error) {
	a, err := c.do(ctx, r)
	if err != nil {
		return session.Meta{}, err
	}
	return a.read(nil)
}

// deletion sends a DELETE of one named thing.
func (c *Client) deletion(ctx context.Context, path string, options []Option) (session.Meta, error) {
	r := c.request(http.MethodDelete, path, options)
	r.gone = true
	return c.change(ctx, r)
}

func setPage(r *request, p session.Page) {
	if p.Limit != 0 {
		r.query("limit", strconv.Itoa(p.Limit))
	}
	if p.Cursor != "" {
		r.query("cursor", p.Cursor)
	}
}

// pages walks a list that comes page by page.
func pages[T any](next func(session.Page) (items []T, cursor string, err error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		page := session.Page{Limit: session.MaxPageSize}
		for {
			items, cursor, err := next(page)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			if page.Cursor = cursor; cursor == "" {
				return
			}
		}
	}
}

func orEmpty(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}
