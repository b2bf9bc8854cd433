package config

import (
	"cmp"
	"strings"
	"time"
)

// Where an export goes to.
const (
	ExportBigQuery = "bigquery"
	ExportCSV      = "csv"
	ExportJSONL    = "jsonl"
	ExportParquet  = "parquet"
)

// Export says which events are exported, and where to.
type Export struct {
	// Since and Until bound when the events were recorded: from Since on, and before
	// Until. A zero Until is the end of the stream.
	Since, Until time.Time
	// AskedSince and AskedUntil are what was written: an age is another time at each
	// start, and still the same export.
	AskedSince, AskedUntil string
	// To is one of the names above.
	To string
	// Out is a folder.
	Out string
}

// ExportFlags are the flags of an export: it reads the store, or asks the running
// server that holds it.
type ExportFlags struct {
	FileFlags

	Since string `name:"since" env:"BUILDTRACKER_EXPORT_SINCE" default:"24h" placeholder:"24h" group:"Export" help:"Export events that were recorded since then: an age, such as 36h or 7d, a day, such as 2026-01-05, or a time, such as 2026-01-05T09:30:00Z. Days are UTC."`
	Until string `name:"until" env:"BUILDTRACKER_EXPORT_UNTIL" placeholder:"TIME" group:"Export" help:"And that were recorded before then, written alike. Without it: all there are at the start."`
	To    string `name:"to" env:"BUILDTRACKER_EXPORT_TO" default:"jsonl" placeholder:"jsonl" group:"Export" help:"bigquery, csv, jsonl or parquet."`
	Out   string `name:"out" env:"BUILDTRACKER_EXPORT_OUT" default:"./export" placeholder:"./export" group:"Export" help:"Folder for the files, and for export.json, which says how far the export is."`

	BigQueryFlags
	StoreFlags
	ClientFlags
	LogFlags
}

// Config returns what to export, and from where: from the store itself, or through
// the server that holds it. Ages count back from now.
func (f ExportFlags) Config(now time.Time) (*Export, *Config, *Client, error) {
	p := settle(&f, f.FileFlags)
	c := &Config{BigQuery: p.bigQuery(f.BigQueryFlags)}
	p.stores(c, f.StoreFlags)
	p.log(c, f.LogFlags)
	client := p.client(f.ClientFlags)
	e := p.export(f, now)
	if e.To == ExportBigQuery && strings.TrimSpace(f.BigQueryProject) == "" && strings.TrimSpace(f.BigQueryDataset) == "" {
		p.add("BIGQUERY_PROJECT and BIGQUERY_DATASET are not set: name where an export to bigquery goes")
	}
	return e, c, client, p.err()
}

func (p *problems) export(f ExportFlags, now time.Time) *Export {
	e := &Export{
		AskedSince: cmp.Or(strings.TrimSpace(f.Since), "24h"), AskedUntil: strings.TrimSpace(f.Until),
		To:  p.choice("BUILDTRACKER_EXPORT_TO", f.To, ExportJSONL, ExportBigQuery, ExportCSV, ExportJSONL, ExportParquet),
		Out: cmp.Or(strings.TrimSpace(f.Out), "./export"),
	}
	e.Since = p.moment("BUILDTRACKER_EXPORT_SINCE", e.AskedSince, now)
	if e.AskedUntil != "" {
		e.Until = p.moment("BUILDTRACKER_EXPORT_UNTIL", e.AskedUntil, now)
		if !e.Until.After(e.Since) {
			p.add("BUILDTRACKER_EXPORT_UNTIL is %q, which is not after BUILDTRACKER_EXPORT_SINCE: write a later one", e.AskedUntil)
		}
	}
	return e
}
