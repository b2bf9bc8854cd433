package config

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// maxFile bounds a configuration file, in bytes.
const maxFile = 1 << 20

// File is the configuration file as it was read.
type File struct {
	// Path is empty where there is none.
	Path string
	// Digest is of what it held.
	Digest [sha256.Size]byte
}

// ReadDigest returns the digest of what a configuration file holds now, as File
// has it. The error is the system's, or says that it is no file or too large.
func ReadDigest(path string) ([sha256.Size]byte, error) {
	text, err := readFile(path)
	if err != nil {
		return [sha256.Size]byte{}, err
	}
	return sha256.Sum256(text), nil
}

// place is a line and a column of the file, both from 1; the zero is none.
type place struct{ line, column int }

func (p place) compare(q place) int { return cmp.Or(p.line-q.line, p.column-q.column) }

// setting is the text of one value.
type setting struct {
	text string
	at   place
}

// document is what a configuration file says.
type document struct {
	File
	settings map[string]setting // by key
	live     Live
	// places says where the parts of live stand, by their keys; what is a default
	// has none.
	places map[string]place
}

// readDocument reads and checks the file. Without a path it returns an empty
// document. The error has a line for each problem, in the order of the file; the
// document then is what could be read of it.
func readDocument(path string) (*document, error) {
	path = strings.TrimSpace(path)
	if path == "" {
		return &document{live: defaultLive()}, nil
	}
	text, err := readFile(path)
	if err != nil {
		return new(document), fmt.Errorf("the configuration file cannot be read: %w", err)
	}
	return parseDocument(path, text)
}

func readFile(path string) ([]byte, error) {
	// A pipe would keep us waiting.
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return text, nil
}

// placed is a problem at a place of the file.
type placed struct {
	path string
	at   place
	err  error
}

func (p *placed) Error() string {
	return fmt.Sprintf("%s:%d:%d: %v", p.path, p.at.line, p.at.column, p.err)
}

// inOrder sorts problems: those of the file by their place, before the others.
func inOrder(found []error) []error {
	slices.SortStableFunc(found, func(a, b error) int {
		p, q := new(placed), new(placed)
		switch inFile, also := errors.As(a, &p), errors.As(b, &q); {
		case inFile && also:
			return p.at.compare(q.at)
		case inFile:
			return -1
		case also:
			return 1
		}
		return 0
	})
	return found
}
