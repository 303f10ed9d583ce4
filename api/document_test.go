package api_test

import (
	"context"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
)

func TestDocumentIsValid(t *testing.T) {
	t.Parallel()
	if err := document(t).Validate(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestDocumentIsServed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.do(request{method: "GET", target: "/openapi.yaml"})
	body, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != 200 || !strings.HasPrefix(string(body), "openapi: 3.0.3") {
		t.Fatalf("got %d, %v, %.40q", r.StatusCode, err, body)
	}
}

// TestEveryRouteIsDocumented compares the router with the document, both ways.
func TestEveryRouteIsDocumented(t *testing.T) {
	t.Parallel()
	parameter := regexp.MustCompile(`:([a-z_]+)`)
	served := map[string]bool{}
	for _, operator := range []bool{false, true} {
		for _, route := range newHouse(t).server.Handler(operator).(*echo.Echo).Routes() {
			served[route.Method+" "+parameter.ReplaceAllString(route.Path, "{$1}")] = true
		}
	}
	documented := map[string]bool{}
	for path, item := range document(t).Paths.Map() {
		for method := range item.Operations() {
			documented[method+" "+path] = true
		}
	}
	if got, want := slices.Sorted(maps.Keys(served)), slices.Sorted(maps.Keys(documented)); !slices.Equal(got, want) {
		t.Errorf("served:\n%v\ndocumented:\n%v", got, want)
	}
}

// TestEveryOperationHasItsErrors: an operation that can fail in a way says so.
func TestEveryOperationHasItsErrors(t *testing.T) {
	t.Parallel()
	for path, item := range document(t).Paths.Map() {
		for method, operation := range item.Operations() {
			if operation.OperationID == "" || operation.Summary == "" || len(operation.Tags) != 1 {
				t.Errorf("%s %s lacks an id, a summary or its tag", method, path)
			}
			want := []string{"default"}
			if strings.HasPrefix(path, "/v1/") {
				want = append(want, "400", "401", "503")
			}
			if operation.RequestBody != nil {
				want = append(want, "413", "415", "504")
			}
			for _, status := range want {
				if operation.Responses.Value(status) == nil {
					t.Errorf("%s %s does not tell of %s", method, path, status)
				}
			}
		}
	}
}
