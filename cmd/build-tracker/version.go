package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// What the linker is told; empty where it was not. The Makefile tells it.
var (
	version    string // such as v1.2.0
	commit     string // the commit's whole hash
	commitTime string // in seconds since 1970; 0 where it is not known
)

// programVersion is what the linker was told, else what the module is.
func programVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// programCommit is the commit that the program was built from and its time, in
// RFC 3339; each is empty where neither the linker nor Go was told.
func programCommit() (hash, at string) {
	hash = commit
	if seconds, err := strconv.ParseInt(commitTime, 10, 64); err == nil && seconds > 0 {
		at = time.Unix(seconds, 0).UTC().Format(time.RFC3339)
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				hash = cmp.Or(hash, s.Value)
			case "vcs.time":
				at = cmp.Or(at, s.Value)
			}
		}
	}
	return hash, at
}

// versionLine is what --version prints, on one line.
func versionLine() string {
	var details []string
	hash, at := programCommit()
	if hash != "" {
		details = append(details, "commit "+hash)
	}
	if at != "" {
		details = append(details, at)
	}
	details = append(details, runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH)
	return fmt.Sprintf("build-tracker %s (%s)", programVersion(), strings.Join(details, ", "))
}
