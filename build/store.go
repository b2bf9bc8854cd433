package build

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrStale: Redis does not stand where the caller thinks it does. It was
// wiped, replaced by another copy, or another process wrote to it: start anew
// with Reset.
var ErrStale = errors.New("redis does not stand at the expected position")

// Store keeps builds in Redis, together with the position in the stream that
// they stand at. Only the holder of the Lease writes.
//
// A build that is missing is to be read from its row: it left when it was done
// with, or Redis evicted it. All keys share a hash tag, so that a cluster keeps
// them in one slot.
type Store struct {
	redis redis.UniversalClient
	opts  StoreOptions
}

// StoreOptions bound what the store keeps.
type StoreOptions struct {
	// Namespace separates programs that share a Redis.
	Namespace string
	// TTL is how long a build stays after its last change, in whole milliseconds.
	TTL time.Duration
	// MaxBuilds is how many builds stay, the latest changed ones.
	MaxBuilds int
}

// NewStore returns a store on client, which stays the caller's.
func NewStore(client redis.UniversalClient, opts StoreOptions) *Store {
	return &Store{redis: client, opts: opts}
}

// Mark is where Redis stands.
type Mark struct {
	// Generation changes whenever the builds in Redis are given up; those of
	// another generation are never read. It has no colon in it.
	Generation string
	// Position is the stream's, up to which all events are in the builds.
	Position int64
}

func (m Mark) String() string { return m.Generation + ":" + strconv.FormatInt(m.Position, 10) }

func (s *Store) key(parts ...string) string {
	return s.opts.Namespace + ":{builds}:" + strings.Join(parts, ":")
}

// Mark returns where Redis stands; the zero Mark when it does not say.
func (s *Store) Mark(ctx context.Context) (Mark, error) {
	text, err := s.redis.Get(ctx, s.key("mark")).Result()
	if errors.Is(err, redis.Nil) {
		return Mark{}, nil
	}
	if err != nil {
		return Mark{}, fmt.Errorf("read redis mark: %w", err)
	}
	generation, position, _ := strings.Cut(text, ":")
	if n, err := strconv.ParseInt(position, 10, 64); err == nil {
		return Mark{Generation: generation, Position: n}, nil
	}
	return Mark{}, nil // not ours: as good as none
}

// Reset gives up all builds in Redis: it stands at m from now on, whose
// generation is a new one.
func (s *Store) Reset(ctx context.Context, m Mark) error {
	old, err := s.Mark(ctx)
	if err != nil {
		return err
	}
	if err := s.redis.Set(ctx, s.key("mark"), m.String(), 0).Err(); err != nil {
		return fmt.Errorf("set redis mark: %w", err)
	}
	// The rest is tidiness: what is missed here expires.
	if old.Generation != "" && old.Generation != m.Generation {
		for s.trim(ctx, old.Generation, 0) {
		}
	}
	return nil
}

// Load returns those of the builds that Redis has in m's generation.
func (s *Store) Load(ctx context.Context, m Mark, ids []string) (map[string]*Build, error) {
	found := make(map[string]*Build, len(ids))
	if len(ids) == 0 {
		return found, nil
	}
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = s.key(m.Generation, id)
	}
	values, err := s.redis.MGet(ctx, keys...).Result()
	if err != nil {
		return nil, fmt.Errorf("load builds from redis: %w", err)
	}
	for i, v := range values {
		text, ok := v.(string)
		if !ok {
			continue
		}
		b, err := Decode([]byte(text))
		if err != nil || b.ID != ids[i] {
			continue // as good as missing: its row is the truth
		}
		found[ids[i]] = b
	}
	return found, nil
}

// save writes builds and moves the mark, all or nothing, if the mark is the
// one expected.
var save = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
for i = 3, #KEYS do
  redis.call('SET', KEYS[i], ARGV[2*i - 1], 'PX', ARGV[3])
  redis.call('ZADD', KEYS[2], ARGV[4], ARGV[2*i])
end
redis.call('PEXPIRE', KEYS[2], ARGV[3] * 2)
redis.call('SET', KEYS[1], ARGV[2])
return redis.call('ZCARD', KEYS[2])
`)

// Encoded is a build in its stored form.
type Encoded struct {
	ID   string
	Data []byte // from Encode
}

// Save writes builds and moves the mark from m to position, in one step, and
// returns the new mark. ErrStale when Redis does not stand at m: nothing is
// written.
func (s *Store) Save(ctx context.Context, m Mark, position int64, builds []Encoded) (Mark, error) {
	to := Mark{Generation: m.Generation, Position: position}
	keys := make([]string, 0, 2+len(builds))
	args := make([]any, 0, 4+2*len(builds))
	keys = append(keys, s.key("mark"), s.key(m.Generation, "recent"))
	args = append(args, m.String(), to.String(), max(s.opts.TTL.Milliseconds(), 1), position)
	for _, b := range builds {
		keys = append(keys, s.key(m.Generation, b.ID))
		args = append(args, b.Data, b.ID)
	}
	held, err := save.Run(ctx, s.redis, keys, args...).Int64()
	if err != nil {
		return Mark{}, fmt.Errorf("save builds to redis: %w", err)
	}
	if held < 0 {
		return Mark{}, ErrStale
	}
	if held > int64(s.opts.MaxBuilds) {
		s.trim(ctx, m.Generation, int64(s.opts.MaxBuilds))
	}
	return to, nil
}

// trim removes the builds that changed longest ago until keep are left, a
// bounded number at a time, and says whether it removed any. An error is no
// loss: the keys expire.
func (s *Store) trim(ctx context.Context, generation string, keep int64) bool {
	const atOnce = 1000
	recent := s.key(generation, "recent")
	count, err := s.redis.ZCard(ctx, recent).Result()
	if err != nil || count <= keep {
		return false
	}
	old, err := s.redis.ZPopMin(ctx, recent, min(count-keep, atOnce)).Result()
	if err != nil || len(old) == 0 {
		return false
	}
	keys := make([]string, len(old))
	for i, z := range old {
		id, _ := z.Member.(string)
		keys[i] = s.key(generation, id)
	}
	return s.redis.Unlink(ctx, keys...).Err() == nil
}
