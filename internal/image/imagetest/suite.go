package imagetest

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"regexp"

	"github.com/goccy/go-yaml"
)

// schemaVersion is the one version of the schema that is read.
const schemaVersion = "2.0.0"

// Suite is what an image has to satisfy.
type Suite struct {
	SchemaVersion      string              `yaml:"schemaVersion"`
	CommandTests       []CommandTest       `yaml:"commandTests"`
	FileExistenceTests []FileExistenceTest `yaml:"fileExistenceTests"`
	FileContentTests   []FileContentTest   `yaml:"fileContentTests"`
	MetadataTest       MetadataTest        `yaml:"metadataTest"`
}

// KeyValue is a variable or a label.
type KeyValue struct {
	Key   string `yaml:"key"`
	Value string `yaml:"value"`
	// IsRegex: Value is a regular expression, which matches anywhere.
	IsRegex bool `yaml:"isRegex"`
}

// Parse reads a suite. A key that it does not know is an error: a test that is
// misspelt would pass.
func Parse(text []byte) (*Suite, error) {
	var s Suite
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(&s); err != nil {
		return nil, fmt.Errorf("read the image's tests: %w", err)
	}
	return &s, s.validate()
}

func (s *Suite) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	patterns := func(lists ...[]string) {
		for _, list := range lists {
			for _, p := range list {
				if _, err := regexp.Compile(p); err != nil {
					errs = append(errs, err)
				}
			}
		}
	}
	if s.SchemaVersion != schemaVersion {
		bad("schemaVersion is %q: only %s is known", s.SchemaVersion, schemaVersion)
	}
	for _, t := range s.CommandTests {
		if t.Name == "" || t.Command == "" {
			bad("a command test has no name or no command")
		}
		patterns(t.ExpectedOutput, t.ExcludedOutput, t.ExpectedError, t.ExcludedError)
	}
	for _, t := range s.FileExistenceTests {
		if t.Name == "" || !path.IsAbs(t.Path) {
			bad("file existence test %q has no name, or no path from the root: %q", t.Name, t.Path)
		}
		if _, known := executable[t.IsExecutableBy]; !known {
			bad("file existence test %q: isExecutableBy is %q: write owner, group, other or any", t.Name, t.IsExecutableBy)
		}
	}
	for _, t := range s.FileContentTests {
		if t.Name == "" || !path.IsAbs(t.Path) {
			bad("file content test %q has no name, or no path from the root: %q", t.Name, t.Path)
		}
		patterns(t.ExpectedContents, t.ExcludedContents)
	}
	for _, kv := range append(s.MetadataTest.EnvVars, s.MetadataTest.Labels...) {
		if kv.Key == "" {
			bad("a variable or a label of the metadata has no key")
		}
		if kv.IsRegex {
			patterns([]string{kv.Value})
		}
	}
	return errors.Join(errs...)
}

// unmatched returns a problem for each pattern that a text lacks, and for each
// that it must not have. The patterns compile: Parse has seen to it.
func unmatched(what, text string, expected, excluded []string) (problems []string) {
	for _, p := range expected {
		if !regexp.MustCompile(p).MatchString(text) {
			problems = append(problems, fmt.Sprintf("%s %q does not match %q", what, text, p))
		}
	}
	for _, p := range excluded {
		if regexp.MustCompile(p).MatchString(text) {
			problems = append(problems, fmt.Sprintf("%s %q matches %q", what, text, p))
		}
	}
	return problems
}
