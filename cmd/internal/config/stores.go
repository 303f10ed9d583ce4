package config

import (
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hydrastore/hydrastore/backend/dynamodb"
	"github.com/hydrastore/hydrastore/backend/redis"
	"github.com/hydrastore/hydrastore/session"
)

// stores is what the settings of the homes outside say, as they were written.
type stores struct {
	host, user, password, passwordFile, prefix        string
	port, database                                    int
	ssl, sslVerify                                    bool
	sslCAFile                                         string
	cluster, sentinels                                []string
	sentinelMaster, sentinelUser, sentinelPassword    string
	table, profile, accessKey, secretKey, region, url string
	connectTimeout, callTimeout                       time.Duration
	maxConnections, waitReplicas                      int
}

// maxPasswordFile bounds a file with one password, in bytes.
const maxPasswordFile = 4 << 10

func redisSettings() []Setting {
	return []Setting{
		{Key: "tokenizer.host", Default: "localhost", Help: "Redis: where it is, without the port.",
			field: func(c *Config) any { return &c.stores.host }},
		{Key: "tokenizer.port", Default: "6379", Help: "Redis: its port.",
			field: func(c *Config) any { return &c.stores.port }},
		{Key: "tokenizer.cluster", Help: "Redis: host:port of some members of a Redis Cluster, in place of `tokenizer.host`.",
			field: func(c *Config) any { return &c.stores.cluster }},
		{Key: "tokenizer.sentinel.master", Help: "Redis: the name of the master that Sentinels guard, in place of `tokenizer.host`.",
			field: func(c *Config) any { return &c.stores.sentinelMaster }},
		{Key: "tokenizer.sentinel.addresses", Help: "Redis: host:port of the Sentinels.",
			field: func(c *Config) any { return &c.stores.sentinels }},
		{Key: "tokenizer.sentinel.user", Help: "Redis: user at the Sentinels. Default: their default user.",
			field: func(c *Config) any { return &c.stores.sentinelUser }},
		{Key: "tokenizer.sentinel.password", Secret: true, Help: "Redis: password at the Sentinels.",
			field: func(c *Config) any { return &c.stores.sentinelPassword }},
		{Key: "tokenizer.user", Help: "Redis: the user to log in as. Default: Redis's default user.",
			field: func(c *Config) any { return &c.stores.user }},
		{Key: "tokenizer.password", Secret: true, Help: "Redis: its password.",
			field: func(c *Config) any { return &c.stores.password }},
		{Key: "tokenizer.password_file", Help: "Redis: file with that password, in place of `tokenizer.password`.",
			field: func(c *Config) any { return &c.stores.passwordFile }},
		{Key: "tokenizer.database", Default: "0", Help: "Redis: the number of the database; always 0 in a cluster.",
			field: func(c *Config) any { return &c.stores.database }},
		{Key: "tokenizer.prefix", Default: "hydrastore", Help: "Redis: begins every key, so that several products can share a server.",
			field: func(c *Config) any { return &c.stores.prefix }},
		{Key: "tokenizer.options.ssl", Default: "false", Help: "Redis: TLS, for Sentinels too. The certificate must be of an authority that is known, and for the host's name.",
			field: func(c *Config) any { return &c.stores.ssl }},
		{Key: "tokenizer.options.ssl_ca_file", Help: "Redis: PEM certificates of the authorities. Default: the system's.",
			field: func(c *Config) any { return &c.stores.sslCAFile }},
		{Key: "tokenizer.options.ssl_verify", Default: "true", Help: "Redis: `false` believes any certificate: whoever is on the way can read and change every session. It is logged at each start.",
			field: func(c *Config) any { return &c.stores.sslVerify }},
		{Key: "tokenizer.wait_replicas", Default: "0", Help: "Redis: how many replicas must have a write before it is acknowledged, and what a read shows before it is answered; in a cluster, of each master. With fewer there, nothing is served. 0: a failover may undo what was acknowledged. See [backends.md](backends.md#a-failover).",
			field: func(c *Config) any { return &c.stores.waitReplicas }},
		{Key: "tokenizer.connect_timeout", Default: "1s", Help: "Redis: how long a connection may take to be made.",
			field: func(c *Config) any { return &c.stores.connectTimeout }},
	}
}

func dynamodbSettings() []Setting {
	return []Setting{
		{Key: "tokenizer.table", Default: "tokens", Help: "DynamoDB: the table; `hydrastore backend create-table` makes it. Its only key is the partition key `username`, a string.",
			field: func(c *Config) any { return &c.stores.table }},
		{Key: "tokenizer.aws_region_name", Help: "DynamoDB: the region. Default: what AWS's own variables and files say.",
			field: func(c *Config) any { return &c.stores.region }},
		{Key: "tokenizer.profile_name", Help: "DynamoDB: profile of the AWS command line. Default: what AWS's own variables and files say, or the role of the machine.",
			field: func(c *Config) any { return &c.stores.profile }},
		{Key: "tokenizer.aws_access_key", Help: "DynamoDB: access key, where there is neither a role nor a profile.",
			field: func(c *Config) any { return &c.stores.accessKey }},
		{Key: "tokenizer.aws_secret_key", Secret: true, Help: "DynamoDB: the secret key that goes with it.",
			field: func(c *Config) any { return &c.stores.secretKey }},
		{Key: "tokenizer.endpoint", Help: "DynamoDB: URL of another server of its protocol, such as a VPC endpoint. Default: the region's.",
			field: func(c *Config) any { return &c.stores.url }},
	}
}

// callSettings are of all homes over the network.
func callSettings() []Setting {
	return []Setting{
		{Key: "tokenizer.call_timeout", Default: "1s", Help: "Redis, DynamoDB: how long one call may take. It is made again where that does no harm, within `limits.request_timeout`.",
			field: func(c *Config) any { return &c.stores.callTimeout }},
		{Key: "tokenizer.max_connections", Default: "64", Help: "Redis, DynamoDB: connections to one server, so calls at once.",
			field: func(c *Config) any { return &c.stores.maxConnections }},
	}
}

// storesInUse completes the settings of the home that tokenizer.type names, and refuses what is said of others.
func (l *loader) storesInUse() {
	kind := l.config.Home
	for _, of := range []struct {
		kinds    []string
		settings []Setting
	}{{[]string{"redis"}, redisSettings()}, {[]string{"dynamodb"}, dynamodbSettings()}, {[]string{"redis", "dynamodb"}, callSettings()}} {
		for _, s := range of.settings {
			if _, given := l.sources[s.Key]; given && !slices.Contains(of.kinds, kind) {
				l.problem(s.Key, "has no effect while tokenizer.type is %s", kind)
			}
		}
	}
	switch kind {
	case HomeRedis:
		l.callBounds()
		l.redis()
	case HomeDynamoDB:
		l.callBounds()
		l.dynamodb()
	}
}

func (l *loader) callBounds() {
	s := l.config.stores
	l.between("tokenizer.connect_timeout", s.connectTimeout, 10*time.Millisecond, time.Minute)
	l.between("tokenizer.call_timeout", s.callTimeout, 10*time.Millisecond, time.Minute)
	if s.maxConnections < 1 || s.maxConnections > 10_000 {
		l.problem("tokenizer.max_connections", "a number from 1 to 10000 is needed here, this is %d", s.maxConnections)
	}
}

func (l *loader) redis() {
	s := l.config.stores
	before := len(l.problems)
	c := redis.Config{
		Cluster: s.cluster, User: s.user, Password: l.redisPassword(), Database: s.database, Prefix: s.prefix,
		Sentinel:    redis.Sentinel{Master: s.sentinelMaster, Addresses: s.sentinels, User: s.sentinelUser, Password: s.sentinelPassword},
		DialTimeout: s.connectTimeout, Timeout: s.callTimeout, MaxConnections: s.maxConnections, TLS: l.redisTLS(), WaitReplicas: s.waitReplicas,
	}
	at := "tokenizer.host"
	switch {
	case len(s.cluster) > 0:
		at = "tokenizer.cluster"
	case s.sentinelMaster != "" || len(s.sentinels) > 0:
		at = "tokenizer.sentinel.master"
	}
	for _, key := range []string{"tokenizer.host", "tokenizer.port"} {
		if _, given := l.sources[key]; given && at != "tokenizer.host" {
			l.problem(key, "has no effect with %s: remove one of them", at)
		}
	}
	for key, list := range map[string][]string{"tokenizer.cluster": s.cluster, "tokenizer.sentinel.addresses": s.sentinels} {
		for _, address := range list {
			l.checkAddress(key, address)
		}
	}
	if at == "tokenizer.host" {
		if s.host == "" || strings.ContainsAny(s.host, " /[]") || strings.Count(s.host, ":") == 1 {
			l.problem(at, "the name or address of a host is needed here, without the port, this is %s", describe(s.host))
		}
		if s.port < 1 || s.port > 65535 {
			l.problem("tokenizer.port", "a number from 1 to 65535 is needed here, this is %d", s.port)
		}
		c.Address = net.JoinHostPort(s.host, strconv.Itoa(s.port))
	}
	if len(l.problems) > before {
		return
	}
	if l.storeFits(c.Validate()) {
		l.config.Redis = c
	}
}

func (l *loader) redisPassword() string {
	s := l.config.stores
	if s.passwordFile == "" {
		return s.password
	}
	if s.password != "" {
		l.problem("tokenizer.password_file", "tokenizer.password is set too: use one of them")
		return ""
	}
	text, err := readBounded(s.passwordFile, maxPasswordFile)
	if err != nil {
		l.problem("tokenizer.password_file", "%s %v", s.passwordFile, err)
		return ""
	}
	password := strings.TrimSpace(string(text))
	if password == "" {
		l.problem("tokenizer.password_file", "%s holds no password", s.passwordFile)
	}
	return password
}

func (l *loader) redisTLS() *tls.Config {
	s := l.config.stores
	if !s.ssl {
		for _, key := range []string{"tokenizer.options.ssl_ca_file", "tokenizer.options.ssl_verify"} {
			if _, given := l.sources[key]; given {
				l.problem(key, "has no effect without tokenizer.options.ssl: true")
			}
		}
		return nil
	}
	c := l.trusted("tokenizer.options.ssl_ca_file", s.sslCAFile)
	c.InsecureSkipVerify = !s.sslVerify //nolint:gosec // what the operator has written, and is told at each start
	return c
}

func (l *loader) dynamodb() {
	s := l.config.stores
	c := dynamodb.Config{
		Table: s.table, Region: s.region, Profile: s.profile, AccessKey: s.accessKey, SecretKey: s.secretKey, Endpoint: s.url,
		Timeout: s.callTimeout, MaxConnections: s.maxConnections,
	}
	if l.storeFits(c.Validate()) {
		l.config.DynamoDB = c
	}
}

// storeFits takes what a home says of its own settings, whose fields are named as ours.
func (l *loader) storeFits(err error) bool {
	var e *session.Error
	if errors.As(err, &e) {
		l.problem("tokenizer."+e.Field, "%s", e.Message)
	}
	return err == nil
}
