package buildkite_test

import (
	"fmt"

	"github.com/build-tracker/build-tracker/buildkite"
)

func ExampleParse() {
	body := []byte(`{
	  "event": "build.finished",
	  "build": {"id": "018f3a2c", "number": 42, "state": "failed", "env": {"DEPLOY_KEY": "hunter2"}},
	  "pipeline": {"slug": "web", "repository": "https://ci:hunter2@git.acme.example/web.git"},
	  "organization": {"slug": "acme"}
	}`)
	d, err := buildkite.Parse(body, buildkite.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s of %s/%s/%d\n%s\n", d.Event, d.Organization, d.Pipeline, d.Number, d.Data)

	facts, err := buildkite.Facts(d.Data)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(facts.Build.State)
	// Output:
	// build.finished of acme/web/42
	// {"event":"build.finished","build":{"id":"018f3a2c","number":42,"state":"failed","env":{"DEPLOY_KEY":"***"}},"pipeline":{"slug":"web","repository":"https://***@git.acme.example/web.git"},"organization":{"slug":"acme"}}
	// failed
}
