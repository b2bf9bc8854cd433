package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/build-tracker/build-tracker/internal/image/imagetest"
)

// checkCommand checks an image, and says how each test went.
type checkCommand struct {
	Suite   string `arg:"" help:"What the image has to satisfy, in the form of container-structure-test."`
	Archive string `arg:"" help:"The image."`
}

func (c *checkCommand) Run(ctx context.Context) (err error) {
	text, err := os.ReadFile(c.Suite)
	if err != nil {
		return err
	}
	suite, err := imagetest.Parse(text)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "image-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	blobs, root := filepath.Join(dir, "blobs"), filepath.Join(dir, "root")
	if err := errors.Join(os.Mkdir(blobs, 0o755), os.Mkdir(root, 0o755), os.Chmod(dir, 0o755)); err != nil {
		return err
	}
	img, err := imagetest.Open(c.Archive, blobs)
	if err != nil {
		return err
	}
	results, err := suite.Check(ctx, img, root)
	if err != nil {
		return err
	}
	failed := 0
	for _, r := range results {
		switch {
		case r.Skipped != "":
			fmt.Printf("skip  %s: %s\n", r.Name, r.Skipped)
		case len(r.Problems) == 0:
			fmt.Printf("ok    %s\n", r.Name)
		default:
			failed++
			for _, problem := range r.Problems {
				fmt.Printf("FAIL  %s: %s\n", r.Name, problem)
			}
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d tests of %s fail", failed, len(results), c.Archive)
	}
	return nil
}
