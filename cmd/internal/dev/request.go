package dev

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// caller asks one node over plain HTTP, exactly as the curl lines do that are shown.
type caller struct {
	base   string
	client *http.Client
}

const (
	requestTimeout = 30 * time.Second
	maxAnswerBytes = 1 << 20
)

// answer holds of an API's answer what the demonstration looks at.
type answer struct {
	status int

	Key       string    `json:"key"`
	ID        string    `json:"id"`
	User      string    `json:"user"`
	Number    int       `json:"number"`
	ExpiresAt time.Time `json:"expires_at"`
	Detail    string    `json:"detail"`
	LeaderID  string    `json:"leader_id"`
	Members   []struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"members"`
}

// at calls the public API of node i.
func (c *cluster) at(i int) caller {
	return caller{base: c.places[i].url(), client: http.DefaultClient}
}

// operator calls the first node over its own Unix socket, as an admin.
func (c *cluster) operator() caller {
	socket := c.settingsSocket(0)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	return caller{base: "http://operator", client: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// do asks and reads. An answer with an error status is no error here: the caller knows which it wants.
func (c caller) do(ctx context.Context, method, path, key string, body any) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return answer{}, fmt.Errorf("write the request: %w", err)
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, content)
	if err != nil {
		return answer{}, fmt.Errorf("make the request: %w", err)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	response, err := c.client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	a := answer{status: response.StatusCode}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil {
		return answer{}, fmt.Errorf("read the answer of %s %s: %w", method, path, err)
	}
	if len(text) == 0 {
		return a, nil
	}
	if err := json.Unmarshal(text, &a); err != nil {
		return answer{}, fmt.Errorf("read the answer of %s %s (status %d): %w", method, path, a.status, err)
	}
	return a, nil
}

// must is do for a request whose answer can only be one of the wanted statuses.
func (c caller) must(ctx context.Context, method, path, key string, body any, wanted ...int) (answer, error) {
	a, err := c.do(ctx, method, path, key, body)
	if err != nil {
		return a, err
	}
	for _, status := range wanted {
		if a.status == status {
			return a, nil
		}
	}
	return a, fmt.Errorf("%s %s answered %d: %s", method, path, a.status, a.Detail)
}
