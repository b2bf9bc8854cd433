package buildtracker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/build-tracker/build-tracker/config"
)

// ledgerName is the file that says how far the export in a folder is.
const ledgerName = "export.json"

// exportLedger is what is kept beside the files of an export, so that it can go
// on: what was asked for, which events those are, and how far they are exported.
type exportLedger struct {
	To    string `json:"to"`
	Since string `json:"since"`           // as it was asked for
	Until string `json:"until,omitempty"` // likewise
	// Dataset is BigQuery's, with its project.
	Dataset string `json:"dataset,omitempty"`
	exportRange
	// Position is that of the last event that is exported, with all before it.
	Position int64 `json:"position"`
	// Parts is how many parts of files are whole.
	Parts int `json:"parts,omitempty"`
	// Rows counts what was written, by table.
	Rows map[string]int64 `json:"rows"`
	// State is the exporter's to BigQuery.
	State string `json:"state,omitempty"`
}

// ledgerFor begins the ledger of an export.
func ledgerFor(e *config.Export, to config.BigQuery) exportLedger {
	l := exportLedger{To: e.To, Since: e.AskedSince, Until: e.AskedUntil, Rows: make(map[string]int64)}
	if e.To == config.ExportBigQuery {
		l.Dataset = to.Project + "." + to.Dataset
	}
	return l
}

func (l *exportLedger) finished() bool { return l.Position >= l.Last }

// sameRequest says whether two ledgers are of the same request.
func (l *exportLedger) sameRequest(m *exportLedger) bool {
	return l.To == m.To && l.Since == m.Since && l.Until == m.Until && l.Dataset == m.Dataset
}

// request is what was asked for, as flags.
func (l *exportLedger) request() string {
	flags := "--since=" + l.Since
	if l.Until != "" {
		flags += " --until=" + l.Until
	}
	flags += " --to=" + l.To
	if l.Dataset != "" {
		flags += " of " + l.Dataset
	}
	return flags
}

// exportFolder is the folder of an export. Nobody else has it until it is closed.
type exportFolder struct {
	path string
	dir  *os.File // locked
}

func openExportFolder(path string) (*exportFolder, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the export: %w", err)
	}
	dir, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the folder of the export: %w", err)
	}
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		dir.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("another export writes to %s: wait for it, or name another folder with --out", path)
		}
		return nil, fmt.Errorf("lock the folder of the export: %w", err)
	}
	return &exportFolder{path: path, dir: dir}, nil
}

func (f *exportFolder) Close() error { return f.dir.Close() }

// ledger returns the ledger in the folder; nil for none, where the folder has no
// files that somebody may want to keep.
func (f *exportFolder) ledger() (*exportLedger, error) {
	text, err := os.ReadFile(filepath.Join(f.path, ledgerName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, f.empty()
	}
	if err != nil {
		return nil, fmt.Errorf("read how far the export is: %w", err)
	}
	l := &exportLedger{Rows: make(map[string]int64)}
	if err := json.Unmarshal(text, l); err != nil {
		return nil, fmt.Errorf("%s cannot be read, name another folder with --out: %w", filepath.Join(f.path, ledgerName), err)
	}
	return l, nil
}

// empty returns an error where the folder has files. Hidden ones do not count.
func (f *exportFolder) empty() error {
	entries, err := os.ReadDir(f.path)
	if err != nil {
		return fmt.Errorf("look into the folder of the export: %w", err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			return fmt.Errorf("%s has files, and no %s that would say they are of an export: name an empty folder with --out", f.path, ledgerName)
		}
	}
	return nil
}

// keep replaces the ledger in the folder.
func (f *exportFolder) keep(l *exportLedger) error {
	text, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return fmt.Errorf("keep how far the export is: %w", err)
	}
	file, err := f.create(ledgerName)
	if err != nil {
		return err
	}
	defer file.abandon()
	if _, err := bytes.NewReader(append(text, '\n')).WriteTo(file); err != nil {
		return fmt.Errorf("keep how far the export is: %w", err)
	}
	if err := file.keep(); err != nil {
		return err
	}
	return f.sync()
}

// sync has the names of the folder's files survive a crash.
func (f *exportFolder) sync() error {
	if err := f.dir.Sync(); err != nil {
		return fmt.Errorf("write the folder of the export: %w", err)
	}
	return nil
}

// wholeFile is a file that has its name only when it is whole.
type wholeFile struct {
	*os.File // nil when it was kept or abandoned
	name     string
}

// create makes a file under a hidden name, in place of what was left under it.
func (f *exportFolder) create(name string) (*wholeFile, error) {
	file, err := os.OpenFile(filepath.Join(f.path, "."+name+".part"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make a file of the export: %w", err)
	}
	return &wholeFile{File: file, name: filepath.Join(f.path, name)}, nil
}

// keep writes the file to the disk and gives it its name.
func (w *wholeFile) keep() error {
	err := errors.Join(w.Sync(), w.Close())
	if err == nil {
		err = os.Rename(w.Name(), w.name)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", w.name, err)
	}
	w.File = nil
	return nil
}

// abandon removes a file that was not kept.
func (w *wholeFile) abandon() {
	if w.File != nil {
		w.Close()
		os.Remove(w.Name())
		w.File = nil
	}
}
