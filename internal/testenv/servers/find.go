package servers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// ErrNotFound: the machine has no such program, or only one that is too old.
var ErrNotFound = errors.New("not found")

// The oldest versions that the program supports.
const (
	minPostgres = 15
	minRedis    = 7
)

// FindPostgres returns the folder that holds PostgreSQL's initdb and postgres:
// the one that TEST_POSTGRES_BIN names, else the newest of PATH and of where
// Debian and Homebrew put them. ErrNotFound when there is none of version 15
// or newer.
func FindPostgres(ctx context.Context) (string, error) {
	dirs := []string{os.Getenv("TEST_POSTGRES_BIN")}
	if dirs[0] == "" {
		dirs = filepath.SplitList(os.Getenv("PATH"))
		for _, pattern := range []string{
			"/usr/lib/postgresql/*/bin",
			"/opt/homebrew/opt/postgresql@*/bin",
			"/usr/local/opt/postgresql@*/bin",
		} {
			more, err := filepath.Glob(pattern)
			if err != nil {
				return "", fmt.Errorf("find PostgreSQL: %w", err)
			}
			dirs = append(dirs, more...)
		}
	}
	var programs []string
	for _, dir := range dirs {
		if _, err := exec.LookPath(filepath.Join(dir, "initdb")); err == nil {
			programs = append(programs, filepath.Join(dir, "postgres"))
		}
	}
	program, err := newest(ctx, programs, minPostgres)
	if err != nil {
		return "", fmt.Errorf("PostgreSQL %d or newer: %w", minPostgres, err)
	}
	// Links to the programs (in /usr/local/bin, say) lead to the real folder.
	target, err := filepath.EvalSymlinks(program)
	if err != nil {
		return "", fmt.Errorf("find PostgreSQL: %w", err)
	}
	return filepath.Dir(target), nil
}

// FindRedis returns the redis-server program: the one that TEST_REDIS_BIN
// names, else the one in PATH. ErrNotFound when there is none of version 7 or
// newer.
func FindRedis(ctx context.Context) (string, error) {
	name := cmp.Or(os.Getenv("TEST_REDIS_BIN"), "redis-server")
	var programs []string
	if path, err := exec.LookPath(name); err == nil {
		programs = append(programs, path)
	}
	path, err := newest(ctx, programs, minRedis)
	if err != nil {
		return "", fmt.Errorf("Redis %d or newer: %w", minRedis, err)
	}
	return path, nil
}

// newest returns the program with the highest major version, at least low.
func newest(ctx context.Context, programs []string, low int) (string, error) {
	type candidate struct {
		path  string
		major int
	}
	var found []candidate
	for _, path := range programs {
		if major, ok := majorVersion(ctx, path); ok && major >= low {
			found = append(found, candidate{path, major})
		}
	}
	if len(found) == 0 {
		return "", ErrNotFound
	}
	best := slices.MaxFunc(found, func(a, b candidate) int { return cmp.Compare(a.major, b.major) })
	return best.path, nil
}

// version matches "postgres (PostgreSQL) 15.18" and "Redis server v=7.0.15".
var version = regexp.MustCompile(`(?:\) |v=)(\d+)`)

func majorVersion(ctx context.Context, path string) (int, bool) {
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return 0, false
	}
	m := version.FindSubmatch(out)
	if m == nil {
		return 0, false
	}
	major, err := strconv.Atoi(string(m[1]))
	return major, err == nil
}
