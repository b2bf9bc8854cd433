package main

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/build-tracker/build-tracker/internal/image/sbom"
)

// sbomCommand writes a program's bill of materials.
type sbomCommand struct {
	stamp
	Program string `arg:"" help:"The program."`
	Out     string `arg:"" help:"The file to write."`
}

func (c *sbomCommand) Run() error {
	bom, err := sbom.New(c.Program, sbom.Options{
		Version: c.Version,
		License: "Apache-2.0",
		Created: time.Unix(c.SourceDateEpoch, 0),
	})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(c.Out), 0o755); err != nil {
		return err
	}
	out, err := os.Create(c.Out)
	if err != nil {
		return err
	}
	return errors.Join(sbom.Write(out, bom), out.Close())
}
