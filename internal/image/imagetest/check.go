package imagetest

import (
	"context"
	"fmt"
	"runtime"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Result is how one test went.
type Result struct {
	Name     string
	Problems []string // none when it passed
	Skipped  string   // why it was not run
}

// Check runs a suite's tests on an image, and at last serves from it. It unpacks
// the image into dir. Commands of an image for another machine are skipped. The
// error is about the checking itself.
func (s *Suite) Check(ctx context.Context, img v1.Image, dir string) ([]Result, error) {
	root, err := Unpack(img, dir)
	if err != nil {
		return nil, err
	}
	results := []Result{{Name: "metadata", Problems: s.MetadataTest.Check(root.config)}}
	for _, t := range s.FileExistenceTests {
		results = append(results, Result{Name: t.Name, Problems: t.Check(root)})
	}
	for _, t := range s.FileContentTests {
		results = append(results, Result{Name: t.Name, Problems: t.Check(root)})
	}
	command := func(name string, run func() []string) {
		result := Result{Name: name}
		if root.arch != runtime.GOARCH || runtime.GOOS != "linux" {
			result.Skipped = fmt.Sprintf("the image is for linux/%s, this machine is %s/%s", root.arch, runtime.GOOS, runtime.GOARCH)
		} else {
			result.Problems = run()
		}
		results = append(results, result)
	}
	for _, t := range s.CommandTests {
		command(t.Name, func() []string {
			outcome, err := root.Run(ctx, t.Command, t.Args, t.Env())
			if err != nil {
				return []string{err.Error()}
			}
			return t.Check(outcome)
		})
	}
	command("the image serves, and stops when told", func() []string {
		if err := root.Serve(ctx); err != nil {
			return []string{err.Error()}
		}
		return nil
	})
	return results, nil
}
