package imagetest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// MetadataTest says how an image is configured. What it does not name may be
// anything.
type MetadataTest struct {
	EnvVars          []KeyValue `yaml:"envVars"`
	UnboundEnvVars   []KeyValue `yaml:"unboundEnvVars"`
	Labels           []KeyValue `yaml:"labels"`
	Entrypoint       *[]string  `yaml:"entrypoint"`
	Cmd              *[]string  `yaml:"cmd"`
	ExposedPorts     []string   `yaml:"exposedPorts"`
	UnexposedPorts   []string   `yaml:"unexposedPorts"`
	Volumes          []string   `yaml:"volumes"`
	UnmountedVolumes []string   `yaml:"unmountedVolumes"`
	Workdir          string     `yaml:"workdir"`
	User             string     `yaml:"user"`
}

// Check returns what of an image's configuration is not as it should be.
func (t MetadataTest) Check(config v1.Config) (problems []string) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	env := variables(config.Env)
	for _, want := range t.EnvVars {
		problems = append(problems, want.check("variable", env)...)
	}
	for _, unwanted := range t.UnboundEnvVars {
		if _, there := env[unwanted.Key]; there {
			bad("variable %s is set", unwanted.Key)
		}
	}
	for _, want := range t.Labels {
		problems = append(problems, want.check("label", config.Labels)...)
	}
	if t.Entrypoint != nil && !slices.Equal(*t.Entrypoint, config.Entrypoint) {
		bad("the entrypoint is %q, want %q", config.Entrypoint, *t.Entrypoint)
	}
	if t.Cmd != nil && !slices.Equal(*t.Cmd, config.Cmd) {
		bad("the command is %q, want %q", config.Cmd, *t.Cmd)
	}
	ports := map[string]bool{}
	for port := range config.ExposedPorts {
		number, _, _ := strings.Cut(port, "/")
		ports[port], ports[number] = true, true
	}
	for _, p := range t.ExposedPorts {
		if !ports[p] {
			bad("port %s is not exposed", p)
		}
	}
	for _, p := range t.UnexposedPorts {
		if ports[p] {
			bad("port %s is exposed", p)
		}
	}
	for _, v := range t.Volumes {
		if _, there := config.Volumes[v]; !there {
			bad("%s is no volume", v)
		}
	}
	for _, v := range t.UnmountedVolumes {
		if _, there := config.Volumes[v]; there {
			bad("%s is a volume", v)
		}
	}
	if t.Workdir != "" && t.Workdir != config.WorkingDir {
		bad("the working folder is %q, want %q", config.WorkingDir, t.Workdir)
	}
	if t.User != "" && t.User != config.User {
		bad("the user is %q, want %q", config.User, t.User)
	}
	return problems
}

func (kv KeyValue) check(what string, values map[string]string) []string {
	value, there := values[kv.Key]
	switch {
	case !there:
		return []string{fmt.Sprintf("%s %s is not set", what, kv.Key)}
	case kv.IsRegex && !regexp.MustCompile(kv.Value).MatchString(value), !kv.IsRegex && value != kv.Value:
		return []string{fmt.Sprintf("%s %s is %q, want %q", what, kv.Key, value, kv.Value)}
	}
	return nil
}

// variables returns NAME=VALUE texts by their names.
func variables(env []string) map[string]string {
	values := map[string]string{}
	for _, e := range env {
		key, value, _ := strings.Cut(e, "=")
		values[key] = value
	}
	return values
}
