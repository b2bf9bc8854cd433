// Command run makes and checks what build-tracker is shipped as: its container
// image, and the bill of what is in it. See `make image` and `make sbom`.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

type cli struct {
	Build  buildCommand  `cmd:"" help:"Make an image of a program."`
	Check  checkCommand  `cmd:"" help:"Check an image against image_test.yaml."`
	Rootfs rootfsCommand `cmd:"" help:"Write the files of the image into a folder."`
	SBOM   sbomCommand   `cmd:"" name:"sbom" help:"Write what a program is made of, as CycloneDX JSON."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	command := kong.Parse(&cli{}, kong.Name("run"), kong.BindTo(ctx, (*context.Context)(nil)))
	command.FatalIfErrorf(command.Run())
}

// stamp is what is not read from the program itself.
type stamp struct {
	Version         string `help:"Version of the program."`
	SourceDateEpoch int64  `help:"Time of everything that is made, in seconds since 1970."`
}
