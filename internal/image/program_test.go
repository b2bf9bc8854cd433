package image

import (
	"runtime/debug"
	"testing"
)

func TestArchitecture(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		goos, cgo string
		want      string // "" where the program is refused
	}{
		"static for Linux":     {goos: "linux", cgo: "0", want: "arm64"},
		"with C libraries":     {goos: "linux", cgo: "1"},
		"for another system":   {goos: "darwin", cgo: "0"},
		"that does not say it": {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			info := &debug.BuildInfo{Settings: []debug.BuildSetting{
				{Key: "GOOS", Value: tc.goos},
				{Key: "CGO_ENABLED", Value: tc.cgo},
				{Key: "GOARCH", Value: "arm64"},
			}}
			got, err := architecture(info)
			if got != tc.want || (err == nil) != (tc.want != "") {
				t.Errorf("architecture %q, error %v; want %q", got, err, tc.want)
			}
		})
	}
}
