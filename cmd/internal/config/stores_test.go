package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRedisDefaults(t *testing.T) {
	t.Parallel()
	c, err := load(t, "tokenizer: {type: redis}", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := c.Redis
	if r.Address != "localhost:6379" || r.TLS != nil || r.Database != 0 || r.Prefix != "hydrastore" || r.Timeout != time.Second || r.DialTimeout != time.Second || r.MaxConnections != 64 || r.WaitReplicas != 0 {
		t.Errorf("got %+v", r)
	}
	if c.DynamoDB.Table != "" {
		t.Errorf("settings of DynamoDB are there too: %+v", c.DynamoDB)
	}
}

func TestRedisSettings(t *testing.T) {
	t.Parallel()
	password := write(t, "password", "a secret\n")
	c, err := load(t, `
tokenizer:
  type: redis
  host: "::1"
  port: 6380
  user: hydrastore
  password_file: `+password+`
  database: 3
  options: {ssl: true}
  call_timeout: 250ms
  wait_replicas: 2
`, []string{"HYDRASTORE_TOKENIZER_PREFIX=shop"}, map[string]string{"tokenizer.max_connections": "9"})
	if err != nil {
		t.Fatal(err)
	}
	r := c.Redis
	if r.Address != "[::1]:6380" || r.User != "hydrastore" || r.Password != "a secret" || r.Database != 3 || r.Prefix != "shop" || r.MaxConnections != 9 || r.Timeout != 250*time.Millisecond || r.WaitReplicas != 2 {
		t.Errorf("got %+v", r)
	}
	if r.TLS == nil || r.TLS.InsecureSkipVerify || r.TLS.MinVersion == 0 {
		t.Errorf("TLS: got %+v, want certificates verified", r.TLS)
	}
	c, err = load(t, "tokenizer: {type: redis, sentinel: {master: m, addresses: ['a:26379', 'b:26379'], password: p}, options: {ssl: true, ssl_verify: false}}", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s := c.Redis.Sentinel; s.Master != "m" || len(s.Addresses) != 2 || s.Password != "p" || c.Redis.Address != "" || !c.Redis.TLS.InsecureSkipVerify {
		t.Errorf("got %+v", c.Redis)
	}
	c, err = load(t, "tokenizer: {type: redis, cluster: ['a:6379', 'b:6379']}", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Redis.Cluster) != 2 || c.Redis.Address != "" {
		t.Errorf("got %+v", c.Redis)
	}
}

func TestDynamoDBSettings(t *testing.T) {
	t.Parallel()
	c, err := load(t, "tokenizer: {type: dynamodb, aws_region_name: eu-west-1, aws_access_key: k, endpoint: 'https://db.example'}",
		[]string{"HYDRASTORE_TOKENIZER_AWS_SECRET_KEY=hidden-word"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if d := c.DynamoDB; d.Table != "tokens" || d.Region != "eu-west-1" || d.AccessKey != "k" || d.SecretKey != "hidden-word" || d.Endpoint != "https://db.example" || d.Timeout != time.Second {
		t.Errorf("got %+v", d)
	}
	c, err = load(t, "tokenizer: {type: dynamodb, table: session_tokens, profile_name: prod}", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if d := c.DynamoDB; d.Table != "session_tokens" || d.Profile != "prod" {
		t.Errorf("got %+v", d)
	}
}

// TestStoresThatCannotWork are told by the setting that is to be mended, without secrets.
func TestStoresThatCannotWork(t *testing.T) {
	t.Parallel()
	empty := write(t, "empty", "\n")
	for _, c := range []struct{ name, yaml, want string }{
		{"Redis's words for raft", "tokenizer: {host: x}", "tokenizer.host: has no effect while tokenizer.type is raft"},
		{"DynamoDB's words for Redis", "tokenizer: {type: redis, table: tokens}", "tokenizer.table: has no effect while tokenizer.type is redis"},
		{"Redis's words for DynamoDB", "tokenizer: {type: dynamodb, connect_timeout: 2s}", "tokenizer.connect_timeout: has no effect while tokenizer.type is dynamodb"},
		{"calls of nobody", "tokenizer: {type: local, call_timeout: 2s}", "tokenizer.call_timeout: has no effect while tokenizer.type is local"},
		{"host with a port", "tokenizer: {type: redis, host: 'a:6379'}", "tokenizer.host: the name or address of a host is needed here, without the port"},
		{"port", "tokenizer: {type: redis, port: 0}", "tokenizer.port: a number from 1 to 65535"},
		{"host and cluster", "tokenizer: {type: redis, host: a, cluster: ['b:1']}", "tokenizer.host: has no effect with tokenizer.cluster"},
		{"cluster and Sentinels", "tokenizer: {type: redis, cluster: ['b:1'], sentinel: {master: m, addresses: ['a:1']}}", "one of a host, Sentinels and a cluster"},
		{"cluster without ports", "tokenizer: {type: redis, cluster: [a]}", "tokenizer.cluster: the host:port that others dial"},
		{"Sentinels without a master", "tokenizer: {type: redis, sentinel: {addresses: ['a:1']}}", "tokenizer.sentinel.master: the Sentinels need the name"},
		{"master without Sentinels", "tokenizer: {type: redis, sentinel: {master: m}}", "tokenizer.sentinel.addresses: the master's name needs"},
		{"database of a cluster", "tokenizer: {type: redis, database: 1, cluster: ['a:1']}", "tokenizer.database: a number from 0"},
		{"user without password", "tokenizer: {type: redis, user: u}", "tokenizer.user: a user needs a password"},
		{"prefix", "tokenizer: {type: redis, prefix: 'a{b}'}", "tokenizer.prefix: a prefix has at most 64 bytes"},
		{"password twice", "tokenizer: {type: redis, password: hidden-word, password_file: /none}", "tokenizer.password_file: tokenizer.password is set too"},
		{"no password file", "tokenizer: {type: redis, password_file: /none}", "tokenizer.password_file: /none cannot be read"},
		{"empty password file", "tokenizer: {type: redis, password_file: " + empty + "}", "holds no password"},
		{"authorities without TLS", "tokenizer: {type: redis, options: {ssl_ca_file: /none}}", "tokenizer.options.ssl_ca_file: has no effect without tokenizer.options.ssl"},
		{"verification without TLS", "tokenizer: {type: redis, options: {ssl_verify: false}}", "tokenizer.options.ssl_verify: has no effect without"},
		{"no authorities", "tokenizer: {type: redis, options: {ssl: true, ssl_ca_file: " + empty + "}}", "holds no PEM certificate"},
		{"replicas below none", "tokenizer: {type: redis, wait_replicas: -1}", "tokenizer.wait_replicas: a number from 0 to 16 is needed here, this is -1"},
		{"too many replicas", "tokenizer: {type: redis, wait_replicas: 17}", "tokenizer.wait_replicas: a number from 0 to 16 is needed here, this is 17"},
		{"replicas of no number", "tokenizer: {type: redis, wait_replicas: most}", "tokenizer.wait_replicas: a whole number is needed here"},
		{"replicas of DynamoDB", "tokenizer: {type: dynamodb, wait_replicas: 1}", "tokenizer.wait_replicas: has no effect while tokenizer.type is dynamodb"},
		{"call timeout", "tokenizer: {type: redis, call_timeout: 1ms}", "tokenizer.call_timeout: a duration from 10ms to 1m0s"},
		{"connections", "tokenizer: {type: dynamodb, max_connections: 0}", "tokenizer.max_connections: a number from 1 to 10000"},
		{"table", "tokenizer: {type: dynamodb, table: t}", "tokenizer.table: a table's name has 3 to 255"},
		{"half a key", "tokenizer: {type: dynamodb, aws_secret_key: hidden-word}", "tokenizer.aws_access_key: an access key and its secret key go together"},
		{"profile and key", "tokenizer: {type: dynamodb, profile_name: p, aws_access_key: k, aws_secret_key: hidden-word}", "tokenizer.profile_name: a profile or an access key"},
		{"endpoint", "tokenizer: {type: dynamodb, endpoint: 'db:8000'}", "tokenizer.endpoint: a URL is needed here"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, c.yaml, nil, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want in it: %s", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "hidden-word") {
				t.Errorf("the error tells a secret: %v", err)
			}
		})
	}
}
