package redis_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hydrastore/hydrastore/backend/backendtest"
	"github.com/hydrastore/hydrastore/backend/redis"
	"github.com/hydrastore/hydrastore/backend/redis/redistest"
	"github.com/hydrastore/hydrastore/session"
)

// BenchmarkMemory measures what sessions take of Redis's memory: each without attributes, of a user of its own.
func BenchmarkMemory(b *testing.B) {
	server := startServer(b, redistest.Options{})
	client := raw(b, &goredis.Options{Addr: server.Address()})
	store, err := redis.Open(b.Context(), redis.Config{Address: server.Address()})
	if err != nil {
		b.Fatal(err)
	}
	config := backendtest.Config(b)
	config.SweepInterval = time.Hour
	s := backendtest.Start(b, config, store)
	before, n := usedMemory(b, client), 0
	for b.Loop() {
		n++
		if _, err := s.Login(b.Context(), session.Call{Operator: true}, session.Login{User: fmt.Sprint("user-", n), Vouched: true}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(usedMemory(b, client)-before)/float64(n), "redisB/session")
}

func usedMemory(b *testing.B, client *goredis.Client) int64 {
	b.Helper()
	text, err := client.Info(b.Context(), "memory").Result()
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(text, "used_memory:")
	value, _, _ := strings.Cut(rest, "\r\n")
	used, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return used
}
