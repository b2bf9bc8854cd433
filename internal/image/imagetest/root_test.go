package imagetest_test

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/build-tracker/build-tracker/internal/image/imagetest"
)

// entry is a tar archive's entry: a file, unless it says otherwise.
type entry struct {
	tar.Header
	text string
}

func file(name string, mode int64, text string) entry {
	return entry{tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: mode, Uid: 7, Gid: 8}, text}
}

// newImage returns an image of layers, lowest first.
func newImage(t *testing.T, layers ...[]entry) v1.Image {
	t.Helper()
	img := empty.Image
	for _, entries := range layers {
		var packed bytes.Buffer
		w := tar.NewWriter(&packed)
		for _, e := range entries {
			e.Size = int64(len(e.text))
			if err := w.WriteHeader(&e.Header); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(w, e.text); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(packed.Bytes())), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if img, err = mutate.AppendLayers(img, layer); err != nil {
			t.Fatal(err)
		}
	}
	return img
}

func TestFiles(t *testing.T) {
	t.Parallel()
	root, err := imagetest.Unpack(newImage(t,
		[]entry{file("bin/sh", 0o755, "shell"), file("etc/motd", 0o644, "old")},
		[]entry{file("bin/.wh.sh", 0o600, ""), file("etc/motd", 0o640, "new\nsecond"), file("srv/run", 0o744, "")},
	), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	no, seven, eight := false, 7, 8
	for name, tc := range map[string]struct {
		test interface {
			Check(root *imagetest.Root) []string
		}
		want string // of the one problem; "" for none
	}{
		"there":                      {imagetest.FileExistenceTest{Path: "/etc/motd", Permissions: "-rw-r-----", UID: &seven, GID: &eight}, ""},
		"missing":                    {imagetest.FileExistenceTest{Path: "/etc/passwd"}, "there is false"},
		"an upper layer removed it":  {imagetest.FileExistenceTest{Path: "/bin/sh", ShouldExist: &no}, ""},
		"there, and should not be":   {imagetest.FileExistenceTest{Path: "/etc/motd", ShouldExist: &no}, "there is true"},
		"other permissions":          {imagetest.FileExistenceTest{Path: "/etc/motd", Permissions: "-rw-r--r--"}, "permissions -rw-r-----"},
		"another user's":             {imagetest.FileExistenceTest{Path: "/etc/motd", UID: &eight}, "user 7's"},
		"another group's":            {imagetest.FileExistenceTest{Path: "/etc/motd", GID: &seven}, "group 8's"},
		"its owner may run it":       {imagetest.FileExistenceTest{Path: "/srv/run", IsExecutableBy: "owner"}, ""},
		"others may not run it":      {imagetest.FileExistenceTest{Path: "/srv/run", IsExecutableBy: "other"}, "other cannot run it"},
		"somebody may run it":        {imagetest.FileExistenceTest{Path: "/srv/run", IsExecutableBy: "any"}, ""},
		"the upper layer's content":  {imagetest.FileContentTest{Path: "/etc/motd", ExpectedContents: []string{"^new", "second$"}}, ""},
		"other content":              {imagetest.FileContentTest{Path: "/etc/motd", ExpectedContents: []string{"^new", "old"}}, "does not match"},
		"content that should not be": {imagetest.FileContentTest{Path: "/etc/motd", ExcludedContents: []string{"old", "second"}}, `matches "second"`},
		"content of no file":         {imagetest.FileContentTest{Path: "/bin/sh", ExcludedContents: []string{"x"}}, "there is no file /bin/sh"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			problems := tc.test.Check(root)
			if tc.want == "" && len(problems) == 0 {
				return
			}
			if len(problems) != 1 || tc.want == "" || !strings.Contains(problems[0], tc.want) {
				t.Errorf("problems %q, want one with %q", problems, tc.want)
			}
		})
	}
}

// Whatever a layer says, nothing changes outside of the folder.
func TestUnpackStaysInItsFolder(t *testing.T) {
	t.Parallel()
	link := func(name, to string) entry {
		return entry{Header: tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: to}}
	}
	for name, layer := range map[string]func(outside string) []entry{
		"a path upwards": func(string) []entry { return []entry{file("../outside/f", 0o644, "x")} },
		"through a link upwards": func(string) []entry {
			return []entry{link("up", "../outside"), file("up/f", 0o644, "x")}
		},
		"through an absolute link": func(outside string) []entry {
			return []entry{link("up", outside), file("up/f", 0o644, "x")}
		},
		"onto a link": func(outside string) []entry {
			return []entry{link("f", filepath.Join(outside, "f")), file("f", 0o644, "x")}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			outside, inside := filepath.Join(dir, "outside"), filepath.Join(dir, "inside")
			for _, d := range []string{outside, inside} {
				if err := os.Mkdir(d, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			_, err := imagetest.Unpack(newImage(t, layer(outside)), inside)
			left, readErr := os.ReadDir(outside)
			if readErr != nil {
				t.Fatal(readErr)
			}
			if len(left) > 0 {
				t.Errorf("%s was written outside of the folder (error %v)", left[0], err)
			}
		})
	}
}

func TestUnpackRefusesWhatIsNoFile(t *testing.T) {
	t.Parallel()
	device := entry{Header: tar.Header{Name: "dev/sda", Typeflag: tar.TypeBlock, Devmajor: 8}}
	if _, err := imagetest.Unpack(newImage(t, []entry{device}), t.TempDir()); err == nil || !strings.Contains(err.Error(), "/dev/sda") {
		t.Errorf("error %v, want one about /dev/sda", err)
	}
}
