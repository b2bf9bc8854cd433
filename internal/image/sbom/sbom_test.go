package sbom_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/internal/image/sbom"
)

// source is the program that the tests list.
const source = "../run"

// folder is where the program is built, when a test needs it.
var folder string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "sbom-test-")
	if err != nil {
		panic(err)
	}
	folder = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

var built = sync.OnceValues(func() (string, error) {
	out := filepath.Join(folder, "program")
	cmd := exec.Command("go", "build", "-o", out, source)
	cmd.Stderr = os.Stderr
	return out, cmd.Run()
})

// program is a Go program with modules in it.
func program(t *testing.T) string {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// write returns a bill of the program as a reader of the file has it, and the
// file.
func write(t *testing.T, opts sbom.Options) (*cdx.BOM, string) {
	t.Helper()
	made, err := sbom.New(program(t), opts)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := sbom.Write(&text, made); err != nil {
		t.Fatal(err)
	}
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(text.Bytes()), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	return &bom, text.String()
}

var options = sbom.Options{Version: "v1.2.3", License: "Apache-2.0", Created: time.Date(2026, 4, 5, 6, 7, 8, 0, time.UTC)}

// The go command says the same of what is in the program as the bill.
func TestBillListsEveryModuleOfTheProgram(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}@{{.Version}}{{end}}{{end}}", source)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Fields(string(out))
	slices.Sort(want)
	want = slices.Compact(want)
	if len(want) < 3 {
		t.Fatalf("go list names %q", want)
	}

	bom, _ := write(t, options)
	var got []string
	sum := regexp.MustCompile(`^h1:[A-Za-z0-9+/]{43}=$`)
	for _, c := range *bom.Components {
		if c.Name == "stdlib" {
			continue
		}
		got = append(got, c.Name+"@"+c.Version)
		if c.Properties == nil || !sum.MatchString((*c.Properties)[0].Value) {
			t.Errorf("%s has no hash of go.sum: %v", c.Name, c.Properties)
		}
		if want := "pkg:golang/" + strings.ToLower(c.Name) + "@" + c.Version; c.PackageURL != want {
			t.Errorf("%s has the package URL %s, want %s", c.Name, c.PackageURL, want)
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("modules (-go list +bill):\n%s", diff)
	}
}

func TestBillIsOfTheProgramsBytes(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(program(t))
	if err != nil {
		t.Fatal(err)
	}
	bom, _ := write(t, options)
	main := bom.Metadata.Component
	want := []cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: fmt.Sprintf("%x", sha256.Sum256(text))}}
	if diff := cmp.Diff(want, *main.Hashes); diff != "" {
		t.Errorf("hashes (-want +got):\n%s", diff)
	}
	if main.Version != "v1.2.3" || bom.Metadata.Timestamp != "2026-04-05T06:07:08Z" {
		t.Errorf("version %q, time %q", main.Version, bom.Metadata.Timestamp)
	}
}

// What CycloneDX's schema asks of a bill: its form, and that no two components
// have one reference.
func TestBillIsInTheFormOfTheSchema(t *testing.T) {
	t.Parallel()
	bom, _ := write(t, options)
	if bom.BOMFormat != "CycloneDX" || bom.SpecVersion != cdx.SpecVersion1_6 || bom.Version < 1 {
		t.Errorf("format %q %s, version %d", bom.BOMFormat, bom.SpecVersion, bom.Version)
	}
	// As in bom-1.6.schema.json.
	serial := regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	if !serial.MatchString(bom.SerialNumber) {
		t.Errorf("serial number %q", bom.SerialNumber)
	}
	seen := map[string]bool{bom.Metadata.Component.BOMRef: true}
	for _, c := range *bom.Components {
		if c.Type == "" || c.Name == "" || c.BOMRef == "" {
			t.Errorf("a component lacks its type, name or reference: %+v", c)
		}
		if seen[c.BOMRef] {
			t.Errorf("%s is there twice", c.BOMRef)
		}
		seen[c.BOMRef] = true
	}
}

func TestSameProgramHasTheSameBill(t *testing.T) {
	t.Parallel()
	bom, first := write(t, options)
	_, second := write(t, options)
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("two bills of one program differ:\n%s", diff)
	}
	next := options
	next.Version = "v1.2.4"
	if other, _ := write(t, next); other.SerialNumber == bom.SerialNumber {
		t.Error("the bill of another version has the same serial number")
	}
}

func TestFileThatIsNoGoProgramHasNoBill(t *testing.T) {
	t.Parallel()
	if _, err := sbom.New("sbom.go", options); err == nil {
		t.Error("a text has a bill")
	}
}
