package dynamodb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/logging"

	"github.com/hydrastore/hydrastore/session"
)

// Permissions is what the node's role must allow on the table. TablePermissions is what CreateTable needs besides.
const (
	Permissions      = "dynamodb:GetItem dynamodb:PutItem dynamodb:DeleteItem dynamodb:Scan"
	TablePermissions = "dynamodb:CreateTable dynamodb:DescribeTable dynamodb:DescribeTimeToLive dynamodb:UpdateTimeToLive"
)

// Config says where the table is. What it leaves out, the places tell that all of AWS's tools look at: the environment (AWS_REGION,
// AWS_PROFILE, …), the shared files, and the role of the machine or container.
type Config struct {
	Table   string
	Region  string // "" = as the environment or the profile says
	Profile string // of the shared files; "" = the default
	// AccessKey and SecretKey, both or none. The second is a secret.
	AccessKey, SecretKey string
	// Endpoint is the URL of another server that speaks DynamoDB's protocol; "" = the region's own.
	Endpoint string

	// Timeout bounds one request. Default: 1s.
	Timeout time.Duration
	// MaxConnections at once. Default: 64.
	MaxConnections int
	// Grace is how long after its expiry a record is kept: machines' clocks may differ by that much before a session is gone early. DynamoDB
	// itself takes hours more. Default: 5m.
	Grace time.Duration
	// HealthInterval is how often this process asks whether the table serves, when nothing else does. Default: 5s.
	HealthInterval time.Duration
	// Logger of what operators must know; nil = none.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	c.Timeout = cmp.Or(c.Timeout, time.Second)
	c.MaxConnections = cmp.Or(c.MaxConnections, 64)
	c.Grace = cmp.Or(c.Grace, 5*time.Minute)
	c.HealthInterval = cmp.Or(c.HealthInterval, 5*time.Second)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

var tableName = regexp.MustCompile(`^[A-Za-z0-9_.-]{3,255}$`)

// Validate says what does not fit together: a *session.Error with the field as operators know it. It connects to nothing.
func (c Config) Validate() error {
	switch {
	case !tableName.MatchString(c.Table):
		return session.Invalid("table", "a table's name has 3 to 255 letters, digits, '_', '.' and '-'")
	case (c.AccessKey == "") != (c.SecretKey == ""):
		return session.Invalid("aws_access_key", "an access key and its secret key go together")
	case c.AccessKey != "" && c.Profile != "":
		return session.Invalid("profile_name", "a profile or an access key, not both")
	}
	if c.Endpoint == "" {
		return nil
	}
	if u, err := url.Parse(c.Endpoint); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		return session.Invalid("endpoint", "a URL is needed here, such as https://dynamodb.example:8000")
	}
	return nil
}

// client makes a client that connects when it is used. Nothing is sent twice by it: attempt.go knows what may be. Call idle when no more is
// asked.
func (c Config) client(ctx context.Context, clock *clock) (client *dynamodb.Client, idle func(), err error) {
	options := []func(*awsconfig.LoadOptions) error{
		// The SDK puts its settings into this one (AWS_CA_BUNDLE).
		awsconfig.WithHTTPClient(awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.MaxConnsPerHost, t.MaxIdleConnsPerHost, t.MaxIdleConns = c.MaxConnections, c.MaxConnections, c.MaxConnections
		})),
		awsconfig.WithLogger(clientLog{c.Logger}),
		awsconfig.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }),
	}
	if c.Region != "" {
		options = append(options, awsconfig.WithRegion(c.Region))
	}
	if c.Profile != "" {
		options = append(options, awsconfig.WithSharedConfigProfile(c.Profile))
	}
	if c.AccessKey != "" {
		options = append(options, awsconfig.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(c.AccessKey, c.SecretKey, "")))
	}
	loaded, err := awsconfig.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, nil, fmt.Errorf("read AWS settings: %w", err)
	}
	if loaded.Region == "" {
		return nil, nil, errors.New("read AWS settings: the region is not set: set tokenizer.aws_region_name, or AWS_REGION")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // says net/http
	if built, ok := loaded.HTTPClient.(*awshttp.BuildableClient); ok {
		transport = built.GetTransport()
	}
	watched := watchedClient{clock: clock, client: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	return dynamodb.NewFromConfig(loaded, func(o *dynamodb.Options) {
		o.HTTPClient = watched
		if c.Endpoint != "" {
			o.BaseEndpoint = aws.String(c.Endpoint)
		}
	}), transport.CloseIdleConnections, nil
}

// watchedClient looks at the time that every answer names.
type watchedClient struct {
	client *http.Client
	clock  *clock
}

// Do is what the SDK calls.
func (w watchedClient) Do(r *http.Request) (*http.Response, error) {
	sent := time.Now()
	answer, err := w.client.Do(r)
	if err == nil {
		w.clock.note(sent, time.Now(), answer.Header.Get("Date"))
	}
	return answer, err
}

// clientLog takes what the SDK itself has to say, at level debug: what operators must know the store logs by itself.
type clientLog struct{ to *slog.Logger }

// Logf is what the SDK calls.
func (l clientLog) Logf(_ logging.Classification, format string, v ...any) {
	if l.to.Enabled(context.Background(), slog.LevelDebug) {
		l.to.Debug("DynamoDB client: " + fmt.Sprintf(format, v...))
	}
}
