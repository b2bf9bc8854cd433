package imagetest_test

import (
	"strings"
	"testing"

	"github.com/build-tracker/build-tracker/internal/image/imagetest"
)

func TestCommandIsHeldToItsOutcome(t *testing.T) {
	t.Parallel()
	outcome := imagetest.Outcome{ExitCode: 2, Stdout: "v1.2.3\n", Stderr: "token is not set\npassword is not set\n"}
	for name, tc := range map[string]struct {
		test imagetest.CommandTest
		want string // of the one problem; "" for none
	}{
		"as it is": {test: imagetest.CommandTest{
			ExitCode: 2, ExpectedOutput: []string{`^v\d`}, ExcludedOutput: []string{"hush"},
			ExpectedError: []string{"token", "password"}, ExcludedError: []string{"panic"},
		}},
		"another exit code": {imagetest.CommandTest{}, "exit code 2, want 0: token is not set"},
		"no such output":    {imagetest.CommandTest{ExitCode: 2, ExpectedOutput: []string{"^v", "token"}}, "output "},
		"output too much":   {imagetest.CommandTest{ExitCode: 2, ExcludedOutput: []string{"1.2"}}, "output "},
		"no such error":     {imagetest.CommandTest{ExitCode: 2, ExpectedError: []string{"token", "v1"}}, "error "},
		"error too much":    {imagetest.CommandTest{ExitCode: 2, ExcludedError: []string{"token"}}, "error "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			problems := tc.test.Check(outcome)
			if tc.want == "" && len(problems) == 0 {
				return
			}
			if len(problems) != 1 || tc.want == "" || !strings.Contains(problems[0], tc.want) {
				t.Errorf("problems %q, want one with %q", problems, tc.want)
			}
		})
	}
}

// A command that is not in the image, or that nobody may run, is not looked for
// on the machine.
func TestCommandOfTheMachineIsNotTheImages(t *testing.T) {
	t.Parallel()
	img := newImage(t, []entry{file("usr/bin/ls", 0o644, "")})
	root, err := imagetest.Unpack(img, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"ls", "/usr/bin/ls", "/bin/ls"} {
		if _, err := root.Run(t.Context(), command, nil, nil); err == nil || !strings.Contains(err.Error(), "the image has no "+command) {
			t.Errorf("%s: error %v", command, err)
		}
	}
}
