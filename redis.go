package buildtracker

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// dialRedis returns a client for a URL: redis:// and rediss:// of one server,
// with several hosts (comma-separated) of a cluster, and redis+sentinel:// with
// the master's name as its path. It does not connect yet.
func dialRedis(text string) (redis.UniversalClient, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("REDIS_URL is not a URL") // the cause would show a password
	}
	hosts := strings.Split(u.Host, ",")
	switch {
	case u.Scheme == "redis+sentinel" || u.Scheme == "rediss+sentinel":
		return dialSentinel(u, hosts)
	case len(hosts) > 1:
		one := *u
		one.Host = hosts[0]
		opts, err := redis.ParseClusterURL(one.String())
		if err != nil {
			return nil, fmt.Errorf("REDIS_URL: %w", err)
		}
		opts.Addrs = hosts
		// A replica that is behind would show builds as they were.
		opts.ReadOnly, opts.RouteByLatency, opts.RouteRandomly = false, false, false
		opts.ReadTimeout, opts.WriteTimeout, opts.DialTimeout = redisTimeout, redisTimeout, redisTimeout
		return redis.NewClusterClient(opts), nil
	}
	opts, err := redis.ParseURL(text)
	if err != nil {
		return nil, fmt.Errorf("REDIS_URL: %w", err)
	}
	opts.ReadTimeout, opts.WriteTimeout, opts.DialTimeout = redisTimeout, redisTimeout, redisTimeout
	return redis.NewClient(opts), nil
}

const redisTimeout = 3 * time.Second

func dialSentinel(u *url.URL, hosts []string) (redis.UniversalClient, error) {
	master := strings.Trim(u.Path, "/")
	if master == "" {
		return nil, fmt.Errorf("REDIS_URL of a sentinel ends in the master's name: redis+sentinel://host:26379/mymaster")
	}
	one := url.URL{Scheme: strings.TrimSuffix(u.Scheme, "+sentinel"), User: u.User, Host: hosts[0]}
	opts, err := redis.ParseURL(one.String())
	if err != nil {
		return nil, fmt.Errorf("REDIS_URL: %w", err)
	}
	return redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName: master, SentinelAddrs: hosts,
		Username: opts.Username, Password: opts.Password, TLSConfig: opts.TLSConfig,
		ReadTimeout: redisTimeout, WriteTimeout: redisTimeout, DialTimeout: redisTimeout,
	}), nil
}

// embeddedRedis is a Redis inside this process, for this process: it listens on
// the loopback, under a password nobody knows, and keeps nothing.
type embeddedRedis struct {
	server *miniredis.Miniredis
	url    string
	stop   chan struct{}
	ticker sync.WaitGroup
}

func startEmbeddedRedis() (*embeddedRedis, error) {
	e := &embeddedRedis{server: miniredis.NewMiniRedis(), stop: make(chan struct{})}
	password := rand.Text()
	e.server.RequireAuth(password)
	if err := e.server.StartAddr("127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("start the embedded redis: %w", err)
	}
	e.url = "redis://:" + password + "@" + e.server.Addr()
	// Its clock stands still unless it is told that time passes.
	e.ticker.Go(func() {
		const step = 250 * time.Millisecond // each looks at every key
		ticker := time.NewTicker(step)
		defer ticker.Stop()
		last := time.Now()
		for {
			select {
			case <-e.stop:
				return
			case now := <-ticker.C:
				e.server.FastForward(now.Sub(last))
				last = now
			}
		}
	})
	return e, nil
}

func (e *embeddedRedis) close() error {
	close(e.stop)
	e.ticker.Wait()
	e.server.Close()
	return nil
}

// LogRedis sends the Redis client's own lines to log. The client has one logger
// for the process: a program calls this once, before New.
func LogRedis(log *slog.Logger) { redis.SetLogger(redisLog{log}) }

// redisLog logs at DEBUG: what matters of it comes back as errors.
type redisLog struct{ log *slog.Logger }

func (l redisLog) Printf(ctx context.Context, format string, v ...any) {
	l.log.DebugContext(ctx, "redis client", "says", fmt.Sprintf(format, v...))
}
