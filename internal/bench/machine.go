package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/build-tracker/build-tracker/internal/bench/measure"
)

// machine says where this runs and on what. It refuses folders that are in
// memory: what is written there is not durable.
func (e *env) machine(ctx context.Context) ([]measure.Fact, error) {
	servers, err := e.stores.Describe(ctx)
	if err != nil {
		return nil, err
	}
	disks := disk(e.dir)
	if servers.DataDir != "" {
		disks += "; PostgreSQL on " + disk(servers.DataDir)
	}
	if strings.Contains(disks, "tmpfs") {
		return nil, fmt.Errorf("files would be kept in memory (%s): name a folder on a disk in TMPDIR", disks)
	}
	mode := fmt.Sprintf("%d rounds, one more to warm up", e.rounds)
	if e.quick {
		mode += "; quick: for ratios, not for figures"
	}
	return []measure.Fact{
		{Name: "date", Value: time.Now().UTC().Format(time.RFC3339)},
		{Name: "commit", Value: commit(ctx)},
		{Name: "run", Value: mode},
		{Name: "go", Value: runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH},
		{Name: "cpu", Value: fmt.Sprintf("%d × %s", runtime.NumCPU(), cmp.Or(infoLine("/proc/cpuinfo", "model name"), "unknown"))},
		{Name: "memory", Value: cmp.Or(infoLine("/proc/meminfo", "MemTotal"), "unknown")},
		{Name: "kernel", Value: cmp.Or(content("/proc/sys/kernel/osrelease"), "unknown")},
		{Name: "load", Value: cmp.Or(content("/proc/loadavg"), "unknown") + " (at the start)"},
		{Name: "disk", Value: disks},
		{Name: "postgres", Value: servers.Postgres},
		{Name: "redis", Value: servers.Redis},
	}, nil
}

// commit is the tree that is measured, as git names it.
func commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// infoLine returns what stands behind the first "name:" of a file; empty when
// there is none.
func infoLine(path, name string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if before, after, _ := strings.Cut(lines.Text(), ":"); strings.TrimSpace(before) == name {
			return strings.TrimSpace(after)
		}
	}
	return ""
}

func content(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// disk names the file system that a path is on: "ext4 on /dev/sda1".
func disk(path string) string {
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		path = resolved
	}
	return mountOf(path, content("/proc/mounts"))
}

// mountOf finds the longest mount point above a path.
func mountOf(path, mounts string) string {
	best, found := -1, "unknown"
	for line := range strings.Lines(mounts) {
		fields := strings.Fields(line)
		if len(fields) < 3 {
			continue
		}
		device, point, kind := fields[0], fields[1], fields[2]
		if within(path, point) && len(point) > best {
			best, found = len(point), kind+" on "+device
		}
	}
	return found
}

func within(path, point string) bool {
	return point == "/" || path == point || strings.HasPrefix(path, point+"/")
}
