package main

import (
	"os"

	"github.com/build-tracker/build-tracker/internal/image"
)

// rootfsCommand writes the image's files, for a container engine to copy.
type rootfsCommand struct {
	Program string `arg:"" help:"The program."`
	Dir     string `arg:"" help:"The folder to write to."`
}

func (c *rootfsCommand) Run() error {
	program, err := os.ReadFile(c.Program)
	if err != nil {
		return err
	}
	return image.WriteFiles(image.Files(program), c.Dir)
}
