// Package sbom says what a Go program is made of, as a CycloneDX bill of
// materials: what the program itself says it was built from.
package sbom

import (
	"cmp"
	"crypto/sha256"
	"debug/buildinfo"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/uuid"
)

// sumProperty names a module's hash as go.sum has it. It is of the module's
// list of files: as one of CycloneDX's own hashes, which are of an archive's
// bytes, it would be wrong.
const sumProperty = "build-tracker:go.sum"

// Options say what of a program is not in it.
type Options struct {
	// Version is the program's; empty means what the program says.
	Version string
	// License is the program's, as an SPDX identifier.
	License string
	// Created is the bill's time. It is the program's, so that the same program
	// always has the same bill.
	Created time.Time
}

// New returns the bill of a program's file: the program with its SHA-256, and a
// component for each module in it and for Go's standard library.
func New(program string, opts Options) (*cdx.BOM, error) {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return nil, fmt.Errorf("read what the program is made of: %w", err)
	}
	sum, err := sha256File(program)
	if err != nil {
		return nil, fmt.Errorf("hash the program: %w", err)
	}
	main := module(&info.Main)
	main.Type = cdx.ComponentTypeApplication
	main.Version = cmp.Or(opts.Version, main.Version)
	main.PackageURL = packageURL(main.Name, main.Version)
	main.BOMRef = main.PackageURL
	main.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: sum}}
	if opts.License != "" {
		main.Licenses = &cdx.Licenses{{License: &cdx.License{ID: opts.License}}}
	}

	components := []cdx.Component{module(&debug.Module{Path: "stdlib", Version: strings.TrimPrefix(info.GoVersion, "go")})}
	for _, m := range info.Deps {
		components = append(components, module(effective(m)))
	}
	slices.SortFunc(components, func(a, b cdx.Component) int { return strings.Compare(a.BOMRef, b.BOMRef) })

	bom := cdx.NewBOM()
	bom.SerialNumber = uuid.NewSHA1(uuid.NameSpaceURL, []byte(main.PackageURL+"#"+sum)).URN()
	bom.Metadata = &cdx.Metadata{Timestamp: opts.Created.UTC().Format(time.RFC3339), Component: &main}
	bom.Components = &components
	return bom, nil
}

// Write writes a bill as JSON, in the form of CycloneDX 1.6.
func Write(w io.Writer, bom *cdx.BOM) error {
	return cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false).EncodeVersion(bom, cdx.SpecVersion1_6)
}

// effective is the module that a program has in another one's place.
func effective(m *debug.Module) *debug.Module {
	if m.Replace != nil {
		return m.Replace
	}
	return m
}

func module(m *debug.Module) cdx.Component {
	url := packageURL(m.Path, m.Version)
	c := cdx.Component{BOMRef: url, Type: cdx.ComponentTypeLibrary, Name: m.Path, Version: m.Version, PackageURL: url}
	if m.Sum != "" {
		c.Properties = &[]cdx.Property{{Name: sumProperty, Value: m.Sum}}
	}
	return c
}

// packageURL returns a module's package URL: its path in lower case, as the
// type "golang" asks (https://github.com/package-url/purl-spec).
func packageURL(path, version string) string {
	return "pkg:golang/" + strings.ToLower(path) + "@" + strings.ReplaceAll(version, "+", "%2B")
}

func sha256File(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}
