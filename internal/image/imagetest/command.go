package imagetest

import "fmt"

// CommandTest says how a command of the image ends and what it writes: regular
// expressions, all of which match, and such of which none does.
type CommandTest struct {
	Name           string     `yaml:"name"`
	Command        string     `yaml:"command"` // looked for in PATH
	Args           []string   `yaml:"args"`
	EnvVars        []KeyValue `yaml:"envVars"` // beside the image's own
	ExitCode       int        `yaml:"exitCode"`
	ExpectedOutput []string   `yaml:"expectedOutput"`
	ExcludedOutput []string   `yaml:"excludedOutput"`
	ExpectedError  []string   `yaml:"expectedError"`
	ExcludedError  []string   `yaml:"excludedError"`
}

// Outcome is how a command ended.
type Outcome struct {
	ExitCode       int
	Stdout, Stderr string
}

// Env returns the test's variables as NAME=VALUE.
func (t CommandTest) Env() []string {
	var env []string
	for _, v := range t.EnvVars {
		env = append(env, v.Key+"="+v.Value)
	}
	return env
}

// Check returns what is wrong with how the command ended.
func (t CommandTest) Check(o Outcome) (problems []string) {
	if o.ExitCode != t.ExitCode {
		problems = append(problems, fmt.Sprintf("exit code %d, want %d: %s", o.ExitCode, t.ExitCode, o.Stderr))
	}
	problems = append(problems, unmatched("output", o.Stdout, t.ExpectedOutput, t.ExcludedOutput)...)
	return append(problems, unmatched("error", o.Stderr, t.ExpectedError, t.ExcludedError)...)
}
