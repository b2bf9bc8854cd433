package config

import (
	"errors"
	"slices"
	"strings"
)

// Check returns the server's configuration, or an error with all that is wrong
// with it. It is Config, but finds wrong values in the file also where a flag or
// a variable wins over them.
func (f ServeFlags) Check() (*Config, error) {
	c, err := f.Config()
	var problems []error
	for _, e := range append(split(f.alone()), split(err)...) {
		if !slices.ContainsFunc(problems, func(o error) bool { return o.Error() == e.Error() }) {
			problems = append(problems, e)
		}
	}
	return c, errors.Join(inOrder(problems)...)
}

// alone returns what is wrong with the values of the file by themselves.
func (f ServeFlags) alone() error {
	only := ServeFlags{FileFlags: FileFlags{ConfigFile: f.ConfigFile}}
	_, err := only.Config()
	var inFile []error
	for _, e := range split(err) {
		if at := new(placed); errors.As(e, &at) {
			inFile = append(inFile, e)
		}
	}
	return errors.Join(inFile...)
}

// split undoes errors.Join.
func split(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// Problems returns the lines of an error of this package.
func Problems(err error) []string {
	return strings.Split(err.Error(), "\n")
}
