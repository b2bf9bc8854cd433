package config

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/alecthomas/kong"
)

// fileFlag is the flag that names the configuration file.
const fileFlag = "config"

// FileFlags name the configuration file. What it says counts where neither the
// command line nor the environment does.
type FileFlags struct {
	ConfigFile string `name:"config" env:"BUILDTRACKER_CONFIG" placeholder:"FILE" group:"Configuration" help:"YAML file with settings, teams and retention. Flags and variables win over it."`

	given map[string]origin // by flag: what the command line and the environment say
}

// AfterApply is for kong: it remembers which flags were given, which their
// values do not show.
func (f *FileFlags) AfterApply(ctx *kong.Context) error {
	f.given = make(map[string]origin)
	for _, flag := range ctx.Flags() {
		for _, env := range flag.Envs {
			if strings.TrimSpace(os.Getenv(env)) != "" {
				f.given[flag.Name] = origin{layer: fromEnvironment, name: env}
			}
		}
	}
	for _, p := range ctx.Path {
		if p.Flag != nil {
			f.given[p.Flag.Name] = origin{layer: fromFlag}
		}
	}
	return nil
}

// layer is where a setting comes from; a higher one wins.
type layer int

const (
	fromDefault layer = iota
	fromFile
	fromEnvironment
	fromFlag
)

// origin is where the value of a setting comes from.
type origin struct {
	layer layer
	name  string // the variable of fromEnvironment; the path of fromFile
	at    place  // of fromFile
}

func (o origin) String() string {
	switch o.layer {
	case fromFlag:
		return "flag"
	case fromEnvironment:
		return "environment " + o.name
	case fromFile:
		return fmt.Sprintf("%s:%d", o.name, o.at.line)
	}
	return "default"
}

// layers are where the settings of a command come from.
type layers struct {
	file    *document
	origins map[string]origin // by flag; what is a default is not in it
	inFile  map[string]field  // by variable: those whose value the file has
	refused bool              // the file, in part or as a whole
}

// settle reads the configuration file and puts what it says into flags, a
// pointer, where nothing above it does. Of settings that say one thing
// together, such as a secret and its file, the highest layer alone counts: what
// lower ones say is blanked. It returns the problems of the file, to which those
// of the settings are added.
func settle(flags any, f FileFlags) *problems {
	doc, err := readDocument(f.ConfigFile)
	l := &layers{file: doc, origins: make(map[string]origin), inFile: make(map[string]field), refused: err != nil}
	highest := make(map[string]layer)
	fields := settings(flags)
	for _, s := range fields {
		o, ok := f.given[s.flag]
		if said, inFile := doc.settings[s.key()]; !ok && inFile {
			o, ok = origin{fromFile, doc.Path, said.at}, true
		}
		if ok {
			l.origins[s.flag] = o
			highest[s.alternative()] = max(highest[s.alternative()], o.layer)
		}
	}
	for _, s := range fields {
		switch o := l.origins[s.flag]; {
		case o.layer < highest[s.alternative()]:
			s.value.SetString("")
			delete(l.origins, s.flag)
		case o.layer == fromFile:
			s.value.SetString(doc.settings[s.key()].text)
			l.inFile[s.env] = s
		}
	}
	return &problems{layers: l, found: split(err)}
}

// locate says where in the file a problem is, if it begins with the name of a
// variable whose value the file has; it then has the name that the file uses.
// Else it returns nil.
func (l *layers) locate(problem error) *placed {
	variable, rest, _ := strings.Cut(problem.Error(), " ")
	s, ok := l.inFile[variable]
	if !ok {
		return nil
	}
	return &placed{l.file.Path, l.origins[s.flag].at, errors.New(s.key() + " " + rest)}
}
