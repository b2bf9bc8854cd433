package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/build-tracker/build-tracker/internal/image"
)

// buildCommand makes an image, and says its name and digest.
type buildCommand struct {
	stamp
	Revision string `help:"Commit of the program."`
	Program  string `arg:"" help:"The program: static, for Linux."`
	Out      string `arg:"" help:"The archive to write."`
}

func (c *buildCommand) Run() error {
	img, err := image.New(image.Options{
		Program:  c.Program,
		Version:  c.Version,
		Revision: c.Revision,
		Created:  time.Unix(c.SourceDateEpoch, 0),
	})
	if err != nil {
		return err
	}
	tag := cmp.Or(c.Version, "devel")
	if err := os.MkdirAll(filepath.Dir(c.Out), 0o755); err != nil {
		return err
	}
	if err := image.WriteArchive(c.Out, img, tag); err != nil {
		return err
	}
	digest, err := img.Digest()
	if err != nil {
		return err
	}
	info, err := os.Stat(c.Out)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %s:%s@%s, %.1f MB\n", c.Out, image.Name, tag, digest, float64(info.Size())/1e6)
	return nil
}
