package image_test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/build-tracker/build-tracker/internal/image"
	"github.com/build-tracker/build-tracker/internal/image/imagetest"
)

var created = time.Date(2026, 4, 5, 6, 7, 8, 0, time.UTC)

// program is a small static server, built once.
var program = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "image-test-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "program")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", out, "./testdata/program")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+runtime.GOARCH)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, err
	}
	return os.ReadFile(out)
})

// newImage makes the image of a program of its own, and its archive.
func newImage(t *testing.T) (img v1.Image, archive string) {
	t.Helper()
	text, err := program()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "program")
	if err := os.WriteFile(path, text, 0o700); err != nil {
		t.Fatal(err)
	}
	img, err = image.New(image.Options{Program: path, Version: "v1.2.3", Revision: "c0ffee", Created: created})
	if err != nil {
		t.Fatal(err)
	}
	archive = filepath.Join(dir, "image.tar")
	if err := image.WriteArchive(archive, img, "v1.2.3"); err != nil {
		t.Fatal(err)
	}
	return img, archive
}

func TestImageIsWhatItsTestsAskFor(t *testing.T) {
	t.Parallel()
	_, archive := newImage(t)
	text, err := os.ReadFile(filepath.FromSlash("../../image_test.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	suite, err := imagetest.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	describe := imagetest.CommandTest{
		Name:          "the program runs",
		Command:       "build-tracker",
		Args:          []string{"describe"},
		EnvVars:       []imagetest.KeyValue{{Key: "MORE", Value: "yes"}},
		ExitCode:      3,
		ExpectedError: []string{"^DATA_DIR /data MORE yes\n$"},
	}
	if os.Geteuid() == 0 {
		describe.ExpectedOutput = []string{"^user 65532 group 65532 alone true\n$"}
	}
	suite.CommandTests = []imagetest.CommandTest{describe}
	img, err := imagetest.Open(archive, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	results, err := suite.Check(t.Context(), img, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if runtime.GOOS == "linux" && r.Skipped != "" {
			t.Errorf("%s: skipped: %s", r.Name, r.Skipped)
		}
		for _, problem := range r.Problems {
			t.Errorf("%s: %s", r.Name, problem)
		}
	}
}

// A server that does not come to listening fails the check, with its log.
func TestServerThatCannotWriteItsDataIsFound(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the image is for Linux")
	}
	img, _ := newImage(t)
	broken := image.Config("", "")
	broken.Env = []string{"DATA_DIR=/nowhere"}
	img, err := mutate.Config(img, broken)
	if err != nil {
		t.Fatal(err)
	}
	root, err := imagetest.Unpack(img, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	err = root.Serve(t.Context())
	if err == nil || !strings.Contains(err.Error(), "it ended before it listened") || !strings.Contains(err.Error(), "/nowhere/state: no such file") {
		t.Errorf("error %v, want that it ended, and its log", err)
	}
}

func TestSameProgramGivesTheSameArchive(t *testing.T) {
	t.Parallel()
	var archives [2][]byte
	for i := range archives {
		_, archive := newImage(t)
		text, err := os.ReadFile(archive)
		if err != nil {
			t.Fatal(err)
		}
		archives[i] = text
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("two archives of one program differ")
	}
}

// What `docker load` reads of the archive is the same image.
func TestArchiveIsDockersToo(t *testing.T) {
	t.Parallel()
	img, archive := newImage(t)
	loaded, err := tarball.ImageFromPath(archive, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(must(img.ConfigFile())(t), must(loaded.ConfigFile())(t)); diff != "" {
		t.Errorf("configuration (-made +loaded):\n%s", diff)
	}
	layers, err := loaded.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for i, layer := range must(img.Layers())(t) {
		if made, read := must(layer.Digest())(t), must(layers[i].Digest())(t); made != read {
			t.Errorf("layer %d is %s, want %s", i, read, made)
		}
	}
	manifest, err := tarball.LoadManifest(func() (io.ReadCloser, error) { return os.Open(archive) })
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"build-tracker:v1.2.3"}, manifest[0].RepoTags); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestTagThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	err := image.WriteArchive(filepath.Join(t.TempDir(), "image.tar"), empty.Image, "v1 2")
	if err == nil || !strings.Contains(err.Error(), "v1 2") {
		t.Errorf("error %v, want one about the tag", err)
	}
}

// The files that a Dockerfile copies are those of the image, with their
// permissions, whatever the umask.
func TestFilesAreWrittenAsTheyAreInTheImage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := image.Files([]byte("program"))
	if err := image.WriteFiles(files, filepath.Join(dir, "rootfs")); err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		path := filepath.Join(dir, "rootfs", f.Path)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != f.Mode {
			t.Errorf("%s has permissions %s, want %s", f.Path, info.Mode(), f.Mode)
		}
		if f.Mode.IsDir() {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(text, f.Bytes) {
			t.Errorf("%s is not what the image has", f.Path)
		}
	}
}

// must returns what a call returned, in a test that ends when it failed.
func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}
