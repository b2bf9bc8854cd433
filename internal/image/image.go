package image

import (
	"archive/tar"
	"bytes"
	"cmp"
	"debug/buildinfo"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Options say what an image is made of.
type Options struct {
	// Program is the path of the program: static, for Linux.
	Program string
	// Version and Revision are what its labels say; empty means "devel" and
	// "unknown".
	Version  string
	Revision string
	// Created is the time of the image and of every file in it, to the second.
	Created time.Time
}

// New returns the image of a program. It is an error if the program needs
// anything that the image does not have: another system, or C libraries.
func New(opts Options) (v1.Image, error) {
	info, err := buildinfo.ReadFile(opts.Program)
	if err != nil {
		return nil, fmt.Errorf("read the program: %w", err)
	}
	arch, err := architecture(info)
	if err != nil {
		return nil, fmt.Errorf("%s %w", opts.Program, err)
	}
	program, err := os.ReadFile(opts.Program)
	if err != nil {
		return nil, err
	}
	created := opts.Created.UTC().Truncate(time.Second)
	layer, err := newLayer(Files(program), created)
	if err != nil {
		return nil, fmt.Errorf("make the layer: %w", err)
	}
	oci := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.Append(oci, mutate.Addendum{
		Layer:   layer,
		History: v1.History{Created: v1.Time{Time: created}, CreatedBy: "make image"},
	})
	if err != nil {
		return nil, fmt.Errorf("append the layer: %w", err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Created = "linux", arch, v1.Time{Time: created}
	file.Config = Config(opts.Version, opts.Revision)
	return mutate.ConfigFile(img, file)
}

// Config returns how the image runs, and what its labels say of it.
func Config(version, revision string) v1.Config {
	return v1.Config{
		User:       fmt.Sprintf("%[1]d:%[1]d", User),
		Entrypoint: []string{programPath},
		Cmd:        []string{"serve"},
		Env: []string{
			"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
			"DATA_DIR=" + dataDir,
			// Every interface: loopback is the container's own. Not LISTEN_ADDR,
			// so that a platform's own PORT counts, and a LISTEN_ADDR too.
			"PORT=8080",
		},
		ExposedPorts: map[string]struct{}{"8080/tcp": {}},
		Volumes:      map[string]struct{}{dataDir: {}},
		Labels: map[string]string{
			"org.opencontainers.image.title":       "build-tracker",
			"org.opencontainers.image.description": "Tracks Buildkite's builds: what failed, since when, and who should know",
			"org.opencontainers.image.licenses":    "Apache-2.0",
			"org.opencontainers.image.source":      "https://github.com/build-tracker/build-tracker",
			"org.opencontainers.image.version":     cmp.Or(version, "devel"),
			"org.opencontainers.image.revision":    cmp.Or(revision, "unknown"),
		},
	}
}

// architecture returns the architecture of a program that runs in an image that
// holds nothing else.
func architecture(info *debug.BuildInfo) (string, error) {
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	if settings["GOOS"] != "linux" || settings["CGO_ENABLED"] != "0" {
		return "", fmt.Errorf("is built with GOOS=%s CGO_ENABLED=%s: an image needs linux and 0", settings["GOOS"], settings["CGO_ENABLED"])
	}
	return settings["GOARCH"], nil
}

// newLayer packs files, all with one time.
func newLayer(files []File, at time.Time) (v1.Layer, error) {
	var packed bytes.Buffer
	w := tar.NewWriter(&packed)
	for _, f := range files {
		header := &tar.Header{
			Name:    strings.TrimPrefix(f.Path, "/"),
			Size:    int64(len(f.Bytes)),
			ModTime: at,
			Uid:     f.Owner,
			Gid:     f.Owner,
		}
		// In a header the sticky bit is where chmod has it.
		header.Mode = int64(f.Mode.Perm())
		if f.Mode&os.ModeSticky != 0 {
			header.Mode |= 0o1000
		}
		header.Typeflag = tar.TypeReg
		if f.Mode.IsDir() {
			header.Typeflag, header.Name = tar.TypeDir, header.Name+"/"
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.Bytes); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed.Bytes())), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
}
