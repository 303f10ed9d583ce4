package dynamodb_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/hydrastore/hydrastore/backend"
	"github.com/hydrastore/hydrastore/backend/dynamodb"
	"github.com/hydrastore/hydrastore/session"
)

const patience = 30 * time.Second

func open(t *testing.T, c dynamodb.Config) *dynamodb.Store {
	t.Helper()
	s, err := dynamodb.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// raw is a client that sees what is really in the table.
func raw(endpoint string) *sdk.Client {
	return sdk.New(sdk.Options{BaseEndpoint: &endpoint, Region: "eu-west-1", Credentials: credentials.NewStaticCredentialsProvider("test", "test-secret-key", ""),
		HTTPClient: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}})
}

// throughWay opens one store whose requests can be met on their way, and another beside it.
func throughWay(t *testing.T) (*way, *dynamodb.Store, *dynamodb.Store) {
	t.Helper()
	server := startServer(t)
	y := startWay(t, server.Endpoint)
	c := at(server)
	createTable(t, c)
	other := open(t, c)
	c.Endpoint = y.URL
	return y, open(t, c), other
}

func user(id string) backend.Name { return backend.Name{Kind: backend.KindUser, ID: id} }

func put(t *testing.T, s *dynamodb.Store, id, value string, was backend.Version) backend.Version {
	t.Helper()
	version, err := s.Put(t.Context(), user(id), []byte(value), was, time.Time{})
	if err != nil {
		t.Fatalf("put %s: %v", id, err)
	}
	return version
}

func get(t *testing.T, s *dynamodb.Store, id string) backend.Record {
	t.Helper()
	got, err := s.Get(t.Context(), user(id))
	if err != nil {
		t.Fatalf("get %s: %v", id, err)
	}
	return got.Records[0]
}

func wantCode(t *testing.T, what string, err error, code session.Code) {
	t.Helper()
	var e *session.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("%s: got %v, want %s", what, err, code)
	} else if e.RetryAfter <= 0 && code != session.CodeTooLarge && code != session.CodeInternal {
		t.Errorf("%s: %v does not say when to come again", what, err)
	}
}

// TestLostAnswers: a write whose answer is lost is sent again and recognises itself; what others have changed since cannot be told.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	y, s, other := throughWay(t)
	y.meet("PutItem", times(3, loseAnswer)...)
	first := put(t, s, "ada", "one", "")
	if r := get(t, other, "ada"); r.Version != first || string(r.Value) != "one" {
		t.Errorf("after lost answers: got %+v, want version %q", r, first)
	}
	if n := y.count("PutItem"); n != 4 {
		t.Errorf("sent %d times, want 4", n)
	}

	y.meet("PutItem", loseAnswer)
	_, err := s.Put(t.Context(), backend.Name{Kind: backend.KindSession, ID: "1"}, []byte("made once"), "", time.Time{})
	wantCode(t, "a session whose making was not answered", err, session.CodeOutcomeUnknown)

	y.meet("PutItem", times(100, loseAnswer)...)
	_, err = s.Put(t.Context(), user("ada"), []byte("two"), first, time.Time{})
	wantCode(t, "all answers lost", err, session.CodeOutcomeUnknown)
	second := get(t, other, "ada").Version
	y.meet("PutItem", loseAnswerAnd(func() { put(t, other, "ada", "another's", get(t, other, "ada").Version) }))
	_, err = s.Put(t.Context(), user("ada"), []byte("three"), second, time.Time{})
	wantCode(t, "changed by another after the answer was lost", err, session.CodeOutcomeUnknown)
	last := get(t, other, "ada")
	if string(last.Value) != "another's" {
		t.Errorf("the repeated write has undone another's: %q", last.Value)
	}
	y.meet("DeleteItem", loseAnswer)
	wantCode(t, "delete", s.Delete(t.Context(), user("ada"), last.Version), session.CodeOutcomeUnknown)
	if r := get(t, other, "ada"); r.Version != "" {
		t.Errorf("after delete: %+v", r)
	}
	y.meet("GetItem", times(3, loseAnswer)...)
	if r := get(t, s, "ada"); r.Version != "" {
		t.Errorf("a read whose answers were lost: %+v", r)
	}
}

// TestRefusals: what DynamoDB says is judged: what helps is tried again, what was not done is said so, and secrets stay out of errors.
func TestRefusals(t *testing.T) {
	t.Parallel()
	y, s, other := throughWay(t)
	for _, c := range []struct {
		what  string
		fates []fate
		code  session.Code // "" = it succeeds in the end
		sent  int          // requests; 0 = any number
	}{
		{"throttled twice", times(2, refuse(400, "ProvisionedThroughputExceededException")), "", 3},
		{"throttled for good", times(100, refuse(400, "ThrottlingException")), session.CodeOverloaded, 6},
		{"a server's fault", times(2, refuse(500, "InternalServerError")), "", 3},
		{"a server's fault for good", times(100, refuse(500, "InternalServerError")), session.CodeOutcomeUnknown, 6},
		{"no permission", times(1, refuse(400, "AccessDeniedException")), session.CodeUnavailable, 1},
		{"no table", times(1, refuse(400, "ResourceNotFoundException")), session.CodeUnavailable, 1},
		{"another key", times(1, refuse(400, "ValidationException")), session.CodeInternal, 1},
		{"something new", times(1, refuse(400, "SomethingNewException")), session.CodeInternal, 1},
	} {
		y.meet("PutItem", c.fates...)
		_, err := s.Put(t.Context(), user(c.what), []byte("v"), "", time.Time{})
		if c.code == "" && err != nil {
			t.Errorf("%s: %v", c.what, err)
		} else if c.code != "" {
			wantCode(t, c.what, err, c.code)
		}
		if n := y.count("PutItem"); n != c.sent {
			t.Errorf("%s: sent %d times, want %d", c.what, n, c.sent)
		}
		if done := get(t, other, c.what).Version != ""; done != (c.code == "") {
			t.Errorf("%s: done: %v", c.what, done)
		}
		if strings.Contains(fmt.Sprint(err), "test-secret-key") {
			t.Errorf("%s: the error tells the secret key", c.what)
		}
		y.meet("PutItem")
	}
	c := at(startServer(t))
	createTable(t, c)
	away := startWay(t, c.Endpoint)
	c.Endpoint, c.Timeout = away.URL, 2*time.Second
	away.meet("PutItem", silent)
	put(t, open(t, c), "silence", "v", "")
	if n := away.count("PutItem"); n < 2 {
		t.Errorf("silence: sent %d times, want it again", n)
	}
	_, err := s.Put(t.Context(), user("big"), make([]byte, backend.MaxValueBytes+1), "", time.Time{})
	wantCode(t, "too large", err, session.CodeTooLarge)
	longest := backend.Name{Kind: backend.KindUser, ID: strings.Repeat("n", backend.MaxNameBytes)}
	if _, err := s.Put(t.Context(), longest, bytes.Repeat([]byte{7}, backend.MaxValueBytes), "", time.Time{}); err != nil {
		t.Errorf("the largest record: %v", err)
	}
}

// TestAway: while DynamoDB is gone every call ends soon, says that nothing was done, and Ready says so; then all goes on.
func TestAway(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	c := at(server)
	createTable(t, c)
	y := startWay(t, server.Endpoint)
	c.Endpoint, c.HealthInterval = y.URL, 20*time.Millisecond
	s := open(t, c)
	if err := s.Ready(); err != nil {
		t.Fatal(err)
	}
	address := y.Listener.Addr().String()
	y.CloseClientConnections()
	y.Close()
	begin := time.Now()
	_, err := s.Get(t.Context(), user("ada")) // which finds out that connections are dead
	wantCode(t, "get", err, session.CodeUnavailable)
	_, err = s.Put(t.Context(), user("ada"), []byte("v"), "", time.Time{})
	wantCode(t, "put", err, session.CodeUnavailable)
	_, err = s.Scan(t.Context(), backend.KindUser, "", 1)
	wantCode(t, "scan", err, session.CodeUnavailable)
	if took := time.Since(begin); took > patience/2 {
		t.Errorf("three calls took %v", took)
	}
	eventually(t, "not ready", func() bool { return s.Ready() != nil })
	late := open(t, c) // a node that starts while it is away
	wantCode(t, "ready", late.Ready(), session.CodeUnavailable)

	back := restartWay(t, y, address)
	defer back()
	eventually(t, "ready again", func() bool { return s.Ready() == nil && late.Ready() == nil })
	put(t, s, "ada", "v", "")
}

// TestClockThatIsOff: a node whose clock is far off serves nothing, and says why; it serves again when the clock is right.
func TestClockThatIsOff(t *testing.T) {
	t.Parallel()
	y, s, _ := throughWay(t)
	put(t, s, "ada", "v", "")
	for _, off := range []time.Duration{-time.Minute, time.Minute} {
		y.setDate(time.Now().Add(off).UTC().Format(http.TimeFormat))
		_, err := s.Get(t.Context(), user("ada"))
		wantCode(t, "the answer that tells it", err, session.CodeUnavailable)
		_, err = s.Put(t.Context(), user("bob"), []byte("v"), "", time.Time{})
		wantCode(t, "put", err, session.CodeUnavailable)
		wantCode(t, "ready", s.Ready(), session.CodeUnavailable)
		if !strings.Contains(err.Error(), "clock") {
			t.Errorf("the error does not say what is wrong: %v", err)
		}
		y.setDate("")
		s.CheckHealth(t.Context())
		if err := s.Ready(); err != nil {
			t.Errorf("the clock is right again: %v", err)
		}
	}
	y.setDate(time.Now().Add(-time.Second).UTC().Format(http.TimeFormat)) // may be right: dates are whole seconds
	get(t, s, "ada")
}

// TestItem: what is in the table is as the documentation says, its expiry in seconds, rounded up, with the grace.
func TestItem(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	c := at(server)
	createTable(t, c)
	s := open(t, c)
	expires := time.Now().Add(time.Hour).Truncate(time.Second).Add(time.Millisecond)
	version, err := s.Put(t.Context(), user("ada"), []byte("v"), "", expires)
	if err != nil {
		t.Fatal(err)
	}
	read := func() map[string]types.AttributeValue {
		got, err := raw(server.Endpoint).GetItem(t.Context(), &sdk.GetItemInput{TableName: aws.String("tokens"), Key: map[string]types.AttributeValue{"username": &types.AttributeValueMemberS{Value: "u#ada"}}})
		if err != nil {
			t.Fatal(err)
		}
		return got.Item
	}
	item := read()
	if n, ok := item["expires"].(*types.AttributeValueMemberN); !ok || n.Value != strconv.FormatInt(expires.Unix()+1+5*60, 10) {
		t.Errorf("expires: got %+v, want %d and five minutes", item["expires"], expires.Unix()+1)
	}
	if v, ok := item["version"].(*types.AttributeValueMemberS); !ok || v.Value != string(version) || len(item) != 5 {
		t.Errorf("item: %+v", item)
	}
	put(t, s, "ada", "v", version)
	if _, has := read()["expires"]; has {
		t.Error("a record that expires no more has an expiry")
	}
}

// TestScanAmongOthers: records of one kind are found among many of another, page by page.
func TestScanAmongOthers(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	c := at(server)
	createTable(t, c)
	s := open(t, c)
	for i := range 300 {
		name := backend.Name{Kind: backend.KindKey, ID: fmt.Sprint(i)}
		if i%100 == 7 {
			name.Kind = backend.KindUser
		}
		if _, err := s.Put(t.Context(), name, []byte("v"), "", time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	found, pages := 0, 0
	for after := ""; ; pages++ {
		page, err := s.Scan(t.Context(), backend.KindUser, after, 2)
		if err != nil {
			t.Fatal(err)
		}
		found += len(page.Records)
		if after = page.Next; after == "" {
			break
		}
	}
	if found != 3 || pages > 4 {
		t.Errorf("found %d records in %d more pages, want 3 in few", found, pages)
	}
}

// TestMissingTable: Ready and errors say which command makes it.
func TestMissingTable(t *testing.T) {
	t.Parallel()
	c := at(startServer(t))
	s := open(t, c)
	wantCode(t, "ready", s.Ready(), session.CodeUnavailable)
	_, err := s.Put(t.Context(), user("ada"), []byte("v"), "", time.Time{})
	wantCode(t, "put", err, session.CodeUnavailable)
	if !strings.Contains(err.Error(), "hydrastore backend create-table") {
		t.Errorf("the error does not say what to do: %v", err)
	}
}

// TestCreateTable: making a table tells of its progress, may be repeated, turns on the time to live, and refuses a table with another key.
func TestCreateTable(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	y := startWay(t, server.Endpoint)
	c := at(server)
	c.Endpoint = y.URL
	ttl := func(status string) fate {
		return func(w http.ResponseWriter, _ *http.Request, _ func() *http.Response) {
			w.Header().Set("Content-Type", "application/x-amz-json-1.0")
			_, _ = w.Write([]byte(`{"TimeToLiveDescription":{"TimeToLiveStatus":"` + status + `","AttributeName":"expires"}}`))
		}
	}
	updated := func(w http.ResponseWriter, _ *http.Request, _ func() *http.Response) { _, _ = w.Write([]byte(`{}`)) }
	var said []string
	say := func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
	y.meet("UpdateTimeToLive", updated) // dynalite has none
	if err := dynamodb.CreateTable(t.Context(), c, say); err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(said, "\n"); !strings.Contains(text, "is being made") || !strings.Contains(text, "serves") || !strings.Contains(text, "turned on") {
		t.Errorf("said: %s", text)
	}
	if n := y.count("UpdateTimeToLive"); n != 1 {
		t.Errorf("the time to live was turned on %d times", n)
	}
	y.meet("DescribeTimeToLive", ttl("ENABLED"))
	if err := dynamodb.CreateTable(t.Context(), c, say); err != nil {
		t.Errorf("again: %v", err)
	}
	if err := open(t, c).Ready(); err != nil {
		t.Errorf("ready: %v", err)
	}
	err := dynamodb.CreateTable(t.Context(), c, say)
	if err == nil || !strings.Contains(err.Error(), "time to live") {
		t.Errorf("without a time to live: %v", err)
	}

	other := c
	other.Table = "others"
	_, err = raw(server.Endpoint).CreateTable(t.Context(), &sdk.CreateTableInput{TableName: &other.Table, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("token"), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("token"), KeyType: types.KeyTypeHash}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := dynamodb.CreateTable(t.Context(), other, say); err == nil || !strings.Contains(err.Error(), "another key") {
		t.Errorf("a table with another key: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := dynamodb.CreateTable(ctx, c, say); err == nil {
		t.Error("an ended context made a table")
	}
}

// TestValidate: what does not fit together is said before anything is connected.
func TestValidate(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]dynamodb.Config{
		"no table":           {},
		"a short name":       {Table: "ab"},
		"a bad name":         {Table: "a table"},
		"half a key":         {Table: "tokens", AccessKey: "a"},
		"the other half":     {Table: "tokens", SecretKey: "a"},
		"key and profile":    {Table: "tokens", AccessKey: "a", SecretKey: "b", Profile: "p"},
		"no URL":             {Table: "tokens", Endpoint: "dynamodb.example:8000"},
		"another protocol":   {Table: "tokens", Endpoint: "ftp://dynamodb.example"},
		"a password in it":   {Table: "tokens", Endpoint: "https://user:password@dynamodb.example"},
		"an unknown profile": {Table: "tokens", Region: "eu-west-1", Profile: "there-is-no-such-profile"},
	} {
		if s, err := dynamodb.Open(t.Context(), c); err == nil {
			_ = s.Close()
			t.Errorf("%s: opened", what)
		}
	}
}

func eventually(t *testing.T, what string, fact func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !fact(); <-time.After(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// restartWay serves at the address again.
func restartWay(t *testing.T, y *way, address string) func() {
	t.Helper()
	server := &http.Server{Addr: address, Handler: y, ReadHeaderTimeout: patience}
	listening := make(chan error, 1)
	go func() { listening <- server.ListenAndServe() }()
	return func() {
		_ = server.Close()
		<-listening
	}
}

// TestPageTellsThePermissions that the code names.
func TestPageTellsThePermissions(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/backends.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{dynamodb.Permissions, dynamodb.TablePermissions} {
		if !strings.Contains(string(page), text) {
			t.Errorf("docs/backends.md does not have %q", text)
		}
	}
}
