package imagetest

import (
	"archive/tar"
	"errors"
	"fmt"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// Open unpacks an archive of an OCI layout into dir, and returns the one image
// in it: every blob is what its digest says.
func Open(archive, dir string) (v1.Image, error) {
	img, err := open(archive, dir)
	if err != nil {
		return nil, fmt.Errorf("read the image %s: %w", archive, err)
	}
	return img, nil
}

func open(archive, dir string) (v1.Image, error) {
	in, err := os.Open(archive)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	to, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer to.Close()
	files := &Root{headers: map[string]*tar.Header{}}
	if err := files.unpack(tar.NewReader(in), to); err != nil {
		return nil, err
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	if len(manifest.Manifests) != 1 {
		return nil, fmt.Errorf("it holds %d images, want 1", len(manifest.Manifests))
	}
	img, err := index.Image(manifest.Manifests[0].Digest)
	if err != nil {
		return nil, err
	}
	return img, errors.Join(validate.Index(index), validate.Image(img))
}
