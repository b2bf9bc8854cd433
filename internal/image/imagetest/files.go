package imagetest

import (
	"fmt"
	"io/fs"
)

// FileExistenceTest says whether a file or a folder is there, and whose it is.
type FileExistenceTest struct {
	Name        string `yaml:"name"`
	Path        string `yaml:"path"`
	ShouldExist *bool  `yaml:"shouldExist"` // nil means true
	// Permissions are as `ls -l` has them for a file, and as Go's fs.FileMode
	// for others: drwxr-xr-x, dtrwxrwxrwx. Empty means any, as with the rest.
	Permissions    string `yaml:"permissions"`
	UID            *int   `yaml:"uid"`
	GID            *int   `yaml:"gid"`
	IsExecutableBy string `yaml:"isExecutableBy"` // owner, group, other or any
}

// executable has the bits one of which is set for a file that somebody may run.
var executable = map[string]fs.FileMode{"": 0, "owner": 0o100, "group": 0o010, "other": 0o001, "any": 0o111}

// Check returns what is wrong with the file.
func (t FileExistenceTest) Check(root *Root) (problems []string) {
	header, there := root.stat(t.Path)
	if want := t.ShouldExist == nil || *t.ShouldExist; !there || !want {
		if there != want {
			return []string{fmt.Sprintf("%s: there is %t, want %t", t.Path, there, want)}
		}
		return nil
	}
	mode := header.FileInfo().Mode()
	if t.Permissions != "" && mode.String() != t.Permissions {
		problems = append(problems, fmt.Sprintf("%s has permissions %s, want %s", t.Path, mode, t.Permissions))
	}
	if t.UID != nil && header.Uid != *t.UID {
		problems = append(problems, fmt.Sprintf("%s is user %d's, want %d's", t.Path, header.Uid, *t.UID))
	}
	if t.GID != nil && header.Gid != *t.GID {
		problems = append(problems, fmt.Sprintf("%s is group %d's, want %d's", t.Path, header.Gid, *t.GID))
	}
	if bits := executable[t.IsExecutableBy]; bits != 0 && mode&bits == 0 {
		problems = append(problems, fmt.Sprintf("%s has permissions %s: %s cannot run it", t.Path, mode, t.IsExecutableBy))
	}
	return problems
}

// FileContentTest says what is in a file: regular expressions, all of which
// match, and such of which none does.
type FileContentTest struct {
	Name             string   `yaml:"name"`
	Path             string   `yaml:"path"`
	ExpectedContents []string `yaml:"expectedContents"`
	ExcludedContents []string `yaml:"excludedContents"`
}

// Check returns what is wrong with the file's content.
func (t FileContentTest) Check(root *Root) []string {
	text, err := root.read(t.Path)
	if err != nil {
		return []string{err.Error()}
	}
	return unmatched(t.Path, text, t.ExpectedContents, t.ExcludedContents)
}
