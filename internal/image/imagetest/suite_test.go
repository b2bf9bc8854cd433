package imagetest_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/internal/image/imagetest"
)

func TestParseReadsASuite(t *testing.T) {
	t.Parallel()
	suite, err := imagetest.Parse([]byte(`
schemaVersion: "2.0.0"
commandTests:
  - name: runs
    command: server
    args: ["--version"]
    envVars: [{key: A, value: b}]
    exitCode: 2
    expectedOutput: ["^v"]
fileExistenceTests:
  - {name: no shell, path: /bin/sh, shouldExist: false}
metadataTest:
  user: "1:2"
  cmd: []
`))
	if err != nil {
		t.Fatal(err)
	}
	no, none := false, []string{}
	want := &imagetest.Suite{
		SchemaVersion: "2.0.0",
		CommandTests: []imagetest.CommandTest{{
			Name: "runs", Command: "server", Args: []string{"--version"},
			EnvVars: []imagetest.KeyValue{{Key: "A", Value: "b"}}, ExitCode: 2, ExpectedOutput: []string{"^v"},
		}},
		FileExistenceTests: []imagetest.FileExistenceTest{{Name: "no shell", Path: "/bin/sh", ShouldExist: &no}},
		MetadataTest:       imagetest.MetadataTest{User: "1:2", Cmd: &none},
	}
	if diff := cmp.Diff(want, suite); diff != "" {
		t.Errorf("suite (-want +got):\n%s", diff)
	}
}

func TestParseRefusesWhatItWouldNotCheck(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ text, want string }{
		"a key that is misspelt":      {`commandTests: [{name: a, command: b, exitcode: 3}]`, "exitcode"},
		"a kind of test that is not":  {`licenseTests: [{debian: true}]`, "licenseTests"},
		"a key that is there twice":   {"metadataTest: {user: a}\nmetadataTest: {user: b}", "metadataTest"},
		"a command test without name": {`commandTests: [{command: b}]`, "no name"},
		"a pattern that is none":      {`commandTests: [{name: a, command: b, expectedOutput: ["("]}]`, "missing closing )"},
		"a pattern of a file":         {`fileContentTests: [{name: a, path: /b, excludedContents: ["("]}]`, "missing closing )"},
		"a pattern of a label":        {`metadataTest: {labels: [{key: a, value: "(", isRegex: true}]}`, "missing closing )"},
		"a variable without key":      {`metadataTest: {envVars: [{value: a}]}`, "no key"},
		"a path from nowhere":         {`fileExistenceTests: [{name: a, path: b}]`, "no path from the root"},
		"somebody unknown":            {`fileExistenceTests: [{name: a, path: /b, isExecutableBy: me}]`, "isExecutableBy"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := imagetest.Parse([]byte("schemaVersion: \"2.0.0\"\n" + tc.text))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
	if _, err := imagetest.Parse([]byte(`schemaVersion: "1.0.0"`)); err == nil {
		t.Error("another version of the schema is read")
	}
}
