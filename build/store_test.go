package build_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/build-tracker/build-tracker/build"
	"github.com/build-tracker/build-tracker/internal/testenv"
)

// eachRedis runs a test on the embedded Redis and on a real one.
func eachRedis(t *testing.T, test func(t *testing.T, client *redis.Client)) {
	t.Helper()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		server := miniredis.RunT(t)
		test(t, connect(t, "redis://"+server.Addr()))
	})
	t.Run("real", func(t *testing.T) {
		t.Parallel()
		test(t, connect(t, testenv.Redis(t)))
	})
}

func connect(t *testing.T, url string) *redis.Client {
	t.Helper()
	opts, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(opts)
	t.Cleanup(func() { client.Close() })
	return client
}

func reset(t *testing.T, s *build.Store, generation string, position int64) build.Mark {
	t.Helper()
	m := build.Mark{Generation: generation, Position: position}
	if err := s.Reset(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	return m
}

func encode(t *testing.T, b *build.Build) build.Encoded {
	t.Helper()
	return build.Encoded{ID: b.ID, Data: build.Encode(b)}
}

func TestStoreKeepsBuildsAndWhereTheyStand(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, client *redis.Client) {
		ctx := t.Context()
		s := build.NewStore(client, build.StoreOptions{Namespace: "test", TTL: time.Hour, MaxBuilds: 100})
		if m, err := s.Mark(ctx); err != nil || m != (build.Mark{}) {
			t.Fatalf("an empty redis stands at %v, %v", m, err)
		}
		start := reset(t, s, "first", 5)
		web := build.New("b1", "acme", "web", 1)
		mark, err := s.Save(ctx, start, 9, []build.Encoded{encode(t, web)})
		if err != nil {
			t.Fatal(err)
		}
		if m, err := s.Mark(ctx); err != nil || m != mark || m.Position != 9 {
			t.Fatalf("redis stands at %v, %v; want %v", m, err, mark)
		}
		got, err := s.Load(ctx, mark, []string{"b1", "b2"})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]*build.Build{"b1": web}, got); diff != "" {
			t.Errorf("loaded (-want +got):\n%s", diff)
		}
		if _, err := s.Save(ctx, start, 12, nil); !errors.Is(err, build.ErrStale) {
			t.Errorf("saving from where redis no longer stands: %v, want ErrStale", err)
		}
		again := reset(t, s, "second", 9)
		if got, err := s.Load(ctx, again, []string{"b1"}); err != nil || len(got) != 0 {
			t.Errorf("a new generation has %v, %v; want nothing", got, err)
		}
		if keys := client.Keys(ctx, "*b1").Val(); len(keys) != 0 {
			t.Errorf("builds of the old generation stay: %v", keys)
		}
	})
}

func TestStoreRefusesToWriteToARedisThatWasWiped(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, client *redis.Client) {
		ctx := t.Context()
		s := build.NewStore(client, build.StoreOptions{Namespace: "test", TTL: time.Hour, MaxBuilds: 100})
		mark := reset(t, s, "first", 1)
		if err := client.FlushAll(ctx).Err(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Save(ctx, mark, 2, nil); !errors.Is(err, build.ErrStale) {
			t.Errorf("save after a wipe: %v, want ErrStale", err)
		}
	})
}

func TestStoreKeepsTheLatestBuildsOnly(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, client *redis.Client) {
		ctx := t.Context()
		s := build.NewStore(client, build.StoreOptions{Namespace: "test", TTL: time.Hour, MaxBuilds: 3})
		mark := reset(t, s, "first", 0)
		var ids []string
		for i := range 6 {
			id := fmt.Sprint("b", i)
			ids = append(ids, id)
			var err error
			if mark, err = s.Save(ctx, mark, mark.Position+1, []build.Encoded{encode(t, build.New(id, "acme", "web", 1))}); err != nil {
				t.Fatal(err)
			}
		}
		got, err := s.Load(ctx, mark, ids)
		if err != nil {
			t.Fatal(err)
		}
		for i, id := range ids {
			if _, kept := got[id]; kept != (i >= 3) {
				t.Errorf("build %s kept: %v", id, kept)
			}
		}
	})
}

func TestBuildsExpire(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	s := build.NewStore(connect(t, "redis://"+server.Addr()), build.StoreOptions{Namespace: "test", TTL: time.Hour, MaxBuilds: 10})
	ctx := t.Context()
	mark, err := s.Save(ctx, reset(t, s, "first", 0), 1, []build.Encoded{encode(t, build.New("b1", "acme", "web", 1))})
	if err != nil {
		t.Fatal(err)
	}
	server.FastForward(time.Hour + time.Second)
	if got, err := s.Load(ctx, mark, []string{"b1"}); err != nil || len(got) != 0 {
		t.Errorf("after its time redis still has %v, %v", got, err)
	}
	if m, err := s.Mark(ctx); err != nil || m != mark {
		t.Errorf("the mark is %v, %v after builds expired; want %v", m, err, mark)
	}
}

func TestLeaseHasOneHolder(t *testing.T) {
	t.Parallel()
	eachRedis(t, func(t *testing.T, client *redis.Client) {
		ctx := t.Context()
		s := build.NewStore(client, build.StoreOptions{Namespace: "test", TTL: time.Hour, MaxBuilds: 10})
		first, second := s.NewLease(time.Minute), s.NewLease(time.Minute)
		if err := first.Take(ctx); err != nil {
			t.Fatal(err)
		}
		if err := second.Take(ctx); !errors.Is(err, build.ErrLeaseTaken) {
			t.Fatalf("a second holder: %v, want ErrLeaseTaken", err)
		}
		if err := first.Extend(ctx); err != nil {
			t.Errorf("extend: %v", err)
		}
		if asked, err := first.Asked(ctx); err != nil || asked {
			t.Errorf("asked before anybody did: %v, %v", asked, err)
		}
		if err := second.Ask(ctx); err != nil {
			t.Fatal(err)
		}
		if asked, err := first.Asked(ctx); err != nil || !asked {
			t.Errorf("asked: %v, %v", asked, err)
		}
		if err := first.Release(ctx); err != nil {
			t.Errorf("release: %v", err)
		}
		if err := second.Take(ctx); err != nil {
			t.Errorf("take what was released: %v", err)
		}
		if err := second.Unask(ctx); err != nil {
			t.Error(err)
		}
		if err := first.Extend(ctx); !errors.Is(err, build.ErrLeaseTaken) {
			t.Errorf("extend what another has: %v, want ErrLeaseTaken", err)
		}
		if err := client.FlushAll(ctx).Err(); err != nil {
			t.Fatal(err)
		}
		if err := second.Extend(ctx); !errors.Is(err, build.ErrLeaseTaken) {
			t.Errorf("extend what is gone: %v, want ErrLeaseTaken", err)
		}
	})
}

func TestLeaseOnADeadRedisIsNotTaken(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	client := connect(t, "redis://"+server.Addr())
	lease := build.NewStore(client, build.StoreOptions{Namespace: "test"}).NewLease(time.Second)
	server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := lease.Take(ctx); err == nil || errors.Is(err, build.ErrLeaseTaken) {
		t.Errorf("take without a redis: %v, want another error than ErrLeaseTaken", err)
	}
}
