package config

import (
	"net"
	"regexp"
	"strings"
)

// BigQuery says where events are exported to. The zero is nowhere.
type BigQuery struct {
	// Project and Dataset are both set, or none is.
	Project string `key:"bigquery_project"`
	Dataset string `key:"bigquery_dataset"`
	// Endpoint is an emulator's REST API, http or https without a slash at its end,
	// and StorageEndpoint its Storage Write API in plain text, as host:port. Both are
	// set, or none is: then it is Google's, with the credentials of the environment.
	Endpoint        string `key:"bigquery_endpoint"`
	StorageEndpoint string `key:"bigquery_storage_endpoint"`
	// DefaultStream writes to the tables' default streams: at least once.
	DefaultStream bool `key:"bigquery_write"`
}

// On says whether anything is exported.
func (b BigQuery) On() bool { return b.Project != "" }

// BigQueryFlags say where events are exported to.
type BigQueryFlags struct {
	BigQueryProject         string `name:"bigquery-project" env:"BIGQUERY_PROJECT" placeholder:"PROJECT" group:"Analytics" help:"Google Cloud project to export to. The export is on when this and the dataset are set."`
	BigQueryDataset         string `name:"bigquery-dataset" env:"BIGQUERY_DATASET" placeholder:"DATASET" group:"Analytics" help:"Dataset to export to; it is made if it is not there."`
	BigQueryWrite           string `name:"bigquery-write" env:"BIGQUERY_WRITE" default:"committed" placeholder:"committed" group:"Analytics" help:"committed, which writes each row once; or default-stream, which writes at the highest rate and at least once."`
	BigQueryEndpoint        string `name:"bigquery-endpoint" env:"BIGQUERY_ENDPOINT" placeholder:"URL" group:"Analytics" help:"REST API of an emulator; ends before /bigquery/v2/."`
	BigQueryStorageEndpoint string `name:"bigquery-storage-endpoint" env:"BIGQUERY_STORAGE_ENDPOINT" placeholder:"HOST:PORT" group:"Analytics" help:"Storage Write API of that emulator, in plain text."`
}

const defaultBigQueryWrite = "committed"

// cloud.google.com/bigquery/docs/datasets#dataset-naming
var (
	projectName = regexp.MustCompile(`^[a-z0-9.:-]{1,100}$`)
	datasetName = regexp.MustCompile(`^[A-Za-z0-9_]{1,1000}$`)
)

func (p *problems) bigQuery(f BigQueryFlags) BigQuery {
	b := BigQuery{
		Project: strings.TrimSpace(f.BigQueryProject), Dataset: strings.TrimSpace(f.BigQueryDataset),
		Endpoint: p.webURL("BIGQUERY_ENDPOINT", f.BigQueryEndpoint), StorageEndpoint: strings.TrimSpace(f.BigQueryStorageEndpoint),
		DefaultStream: p.choice("BIGQUERY_WRITE", f.BigQueryWrite, defaultBigQueryWrite, "committed", "default-stream") == "default-stream",
	}
	switch {
	case b.Project == "" && b.Dataset == "":
	case b.Dataset == "":
		p.add("BIGQUERY_DATASET is not set, but BIGQUERY_PROJECT is: set both to export, or neither")
	case b.Project == "":
		p.add("BIGQUERY_PROJECT is not set, but BIGQUERY_DATASET is: set both to export, or neither")
	}
	if b.Project != "" && !projectName.MatchString(b.Project) {
		p.add("BIGQUERY_PROJECT is %q, which is no project: write its id, such as acme-builds", b.Project)
	}
	if b.Dataset != "" && !datasetName.MatchString(b.Dataset) {
		p.add("BIGQUERY_DATASET is %q, which is no dataset: write letters, digits and _, such as builds", b.Dataset)
	}
	if b.StorageEndpoint != "" {
		if host, port, err := net.SplitHostPort(b.StorageEndpoint); err != nil || host == "" || !isPort(port) {
			p.add("BIGQUERY_STORAGE_ENDPOINT is %q, which is no address: write HOST:PORT, for example 127.0.0.1:9060", b.StorageEndpoint)
		}
	}
	// With one alone, the other half would go to Google.
	switch {
	case strings.TrimSpace(f.BigQueryEndpoint) != "" && b.StorageEndpoint == "":
		p.add("BIGQUERY_STORAGE_ENDPOINT is not set, but BIGQUERY_ENDPOINT is: set both for an emulator, or neither")
	case strings.TrimSpace(f.BigQueryEndpoint) == "" && b.StorageEndpoint != "":
		p.add("BIGQUERY_ENDPOINT is not set, but BIGQUERY_STORAGE_ENDPOINT is: set both for an emulator, or neither")
	}
	return b
}
