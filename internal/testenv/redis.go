package testenv

import (
	"testing"

	"github.com/build-tracker/build-tracker/internal/testenv/servers"
)

// Redis returns the URL of an empty Redis server that belongs to the test and
// ends with it. Under -short the test is skipped.
func Redis(t testing.TB) string {
	t.Helper()
	return StartRedis(t).URL()
}

// RedisServer is a Redis server that belongs to one test.
type RedisServer struct {
	t      testing.TB
	server *servers.Redis
}

// StartRedis starts a Redis server that the test may stop, wipe and set back.
// It ends with the test. Under -short the test is skipped.
func StartRedis(t testing.TB) *RedisServer {
	t.Helper()
	skipShort(t, "Redis")
	bin, err := servers.FindRedis(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	server, err := servers.NewRedis(t.Context(), bin, tempDir(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return &RedisServer{t, server}
}

// URL is where the server is; it stays the same over restarts.
func (r *RedisServer) URL() string { return r.server.URL() }

// Start starts a stopped server, empty, and returns when it answers.
func (r *RedisServer) Start() {
	r.t.Helper()
	r.must(r.server.Start(r.t.Context()))
}

// Stop ends the server. What it held is lost.
func (r *RedisServer) Stop() {
	r.t.Helper()
	r.must(r.server.Stop())
}

// Wipe removes every key.
func (r *RedisServer) Wipe() {
	r.t.Helper()
	r.must(r.server.Wipe(r.t.Context()))
}

// Dump returns a copy of everything that the server holds now, for Restore.
func (r *RedisServer) Dump() []byte {
	r.t.Helper()
	dump, err := r.server.Dump(r.t.Context())
	r.must(err)
	return dump
}

// Restore restarts the server with what Dump returned: a failover to an old
// copy.
func (r *RedisServer) Restore(dump []byte) {
	r.t.Helper()
	r.must(r.server.Restore(r.t.Context(), dump))
}

func (r *RedisServer) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}
