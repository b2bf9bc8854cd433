package image

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// User is whom the image runs as, by number: no name service is needed.
const User = 65532

// Where things are in the image.
const (
	programPath = "/usr/local/bin/build-tracker"
	dataDir     = "/data"
)

// File is a file or a folder of the image.
type File struct {
	Path  string      // absolute, without a slash at its end
	Mode  fs.FileMode // with fs.ModeDir for a folder
	Owner int         // user and group
	Bytes []byte      // of a file
}

// Files returns what the image holds, folders before what is in them. Only the
// data folder and /tmp are anybody's but root's to change.
func Files(program []byte) []File {
	folder := func(path string) File { return File{Path: path, Mode: fs.ModeDir | 0o755} }
	file := func(path string, bytes []byte) File { return File{Path: path, Mode: 0o644, Bytes: bytes} }
	return []File{
		{Path: dataDir, Mode: fs.ModeDir | 0o750, Owner: User},
		folder("/etc"),
		file("/etc/group", fmt.Appendf(nil, "root:x:0:\nnonroot:x:%d:\n", User)),
		file("/etc/passwd", fmt.Appendf(nil, "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:%[1]d:%[1]d:nonroot:%[2]s:/sbin/nologin\n", User, dataDir)),
		folder("/etc/ssl"),
		folder("/etc/ssl/certs"),
		file("/etc/ssl/certs/ca-certificates.crt", roots()),
		// SQLite's, for what does not fit into memory.
		{Path: "/tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777},
		folder("/usr"),
		folder("/usr/local"),
		folder("/usr/local/bin"),
		{Path: programPath, Mode: 0o755, Bytes: program},
	}
}

// WriteFiles writes files below a folder, and makes it where it is missing. It
// leaves owners to who copies them.
func WriteFiles(files []File, dir string) error {
	for _, f := range files {
		path := filepath.Join(dir, filepath.FromSlash(strings.TrimPrefix(f.Path, "/")))
		if f.Mode.IsDir() {
			if err := os.MkdirAll(path, 0o755); err != nil {
				return err
			}
		} else if err := os.WriteFile(path, f.Bytes, f.Mode.Perm()); err != nil {
			return err
		}
		// Past the umask.
		if err := os.Chmod(path, f.Mode); err != nil {
			return err
		}
	}
	return nil
}
