package imagetest

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// maxUnpacked is how many bytes an image's files may have together.
const maxUnpacked = 1 << 30

// Root is an image, unpacked.
type Root struct {
	dir     string
	config  v1.Config
	arch    string
	headers map[string]*tar.Header // by absolute path
}

// Unpack writes an image's files, as its layers add up to, into a folder, which
// becomes the root of its commands. Nothing is written outside of it, whatever
// paths and links the layers have. Owners are kept for root alone.
func Unpack(img v1.Image, dir string) (*Root, error) {
	file, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	// As root, others walk through it.
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	to, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer to.Close()
	files := mutate.Extract(img)
	defer files.Close()
	r := &Root{dir: dir, config: file.Config, arch: file.Architecture, headers: map[string]*tar.Header{}}
	if err := r.unpack(tar.NewReader(files), to); err != nil {
		return nil, fmt.Errorf("unpack the image: %w", err)
	}
	return r, nil
}

func (r *Root) unpack(files *tar.Reader, to *os.Root) error {
	var size int64
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if size += header.Size; size > maxUnpacked {
			return fmt.Errorf("its files have more than %d bytes", maxUnpacked)
		}
		name := strings.TrimPrefix(path.Clean("/"+header.Name), "/")
		if name == "" {
			continue
		}
		if err := write(to, name, header, files); err != nil {
			return err
		}
		r.headers["/"+name] = header
	}
}

// write writes one file, with its permissions and, as root, its owner.
func write(to *os.Root, name string, header *tar.Header, content io.Reader) error {
	if err := to.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	switch header.Typeflag {
	case tar.TypeDir:
		if err := to.MkdirAll(name, 0o755); err != nil {
			return err
		}
	case tar.TypeReg:
		f, err := to.Create(name)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, content)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	case tar.TypeSymlink:
		return to.Symlink(header.Linkname, name)
	default:
		return fmt.Errorf("/%s is of type %q: only files, folders and symbolic links are known", name, header.Typeflag)
	}
	if os.Geteuid() == 0 {
		if err := to.Chown(name, header.Uid, header.Gid); err != nil {
			return err
		}
	}
	return to.Chmod(name, header.FileInfo().Mode())
}

// stat returns what the layers say of a path.
func (r *Root) stat(file string) (*tar.Header, bool) {
	header, ok := r.headers[path.Clean(file)]
	return header, ok
}

// read returns what is in a file.
func (r *Root) read(file string) (string, error) {
	header, ok := r.stat(file)
	if !ok || header.Typeflag != tar.TypeReg {
		return "", fmt.Errorf("there is no file %s", file)
	}
	f, err := os.OpenInRoot(r.dir, strings.TrimPrefix(path.Clean(file), "/"))
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	return string(text), err
}
