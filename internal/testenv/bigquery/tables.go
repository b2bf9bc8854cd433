package bigquery

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Row is a row by column name. Its values are int64, float64, bool, string (a
// JSON column's text and a DATE as 2006-01-02 too), []byte, time.Time in UTC for
// a TIMESTAMP, Row for a RECORD, and []any of these for a repeated column. A
// column that is NULL or an empty array is absent.
type Row map[string]any

// Partitioning is how a table is partitioned.
type Partitioning struct {
	Type         string `json:"type,omitempty"` // DAY
	Field        string `json:"field,omitempty"`
	ExpirationMs int64  `json:"expirationMs,omitempty,string"`
	// RequirePartitionFilter is the deprecated place of the table's own.
	RequirePartitionFilter bool `json:"requirePartitionFilter,omitempty"`
}

// Clustering is by which columns a table is sorted.
type Clustering struct {
	Fields []string `json:"fields,omitempty"`
}

// Schema is a table's columns in order.
type Schema struct {
	Fields []Field `json:"fields,omitempty"`
}

// View is a query that is kept under a name.
type View struct {
	Query        string `json:"query,omitempty"`
	UseLegacySQL bool   `json:"useLegacySql"`
}

// Reference names a table, or a dataset.
type Reference struct {
	ProjectID string `json:"projectId,omitempty"`
	DatasetID string `json:"datasetId,omitempty"`
	TableID   string `json:"tableId,omitempty"`
}

// TableInfo is a table as REST shows it.
type TableInfo struct {
	Kind                   string            `json:"kind,omitempty"`
	ETag                   string            `json:"etag,omitempty"`
	ID                     string            `json:"id,omitempty"`
	Reference              Reference         `json:"tableReference"`
	FriendlyName           string            `json:"friendlyName,omitempty"`
	Description            string            `json:"description,omitempty"`
	Labels                 map[string]string `json:"labels,omitempty"`
	Schema                 *Schema           `json:"schema,omitempty"`
	TimePartitioning       *Partitioning     `json:"timePartitioning,omitempty"`
	RequirePartitionFilter bool              `json:"requirePartitionFilter,omitempty"`
	Clustering             *Clustering       `json:"clustering,omitempty"`
	View                   *View             `json:"view,omitempty"`
	Type                   string            `json:"type,omitempty"` // TABLE or VIEW
	Location               string            `json:"location,omitempty"`
	NumRows                uint64            `json:"numRows,omitempty,string"`
	NumBytes               int64             `json:"numBytes,omitempty,string"`
	CreationTime           int64             `json:"creationTime,omitempty,string"`     // Unix ms
	LastModifiedTime       uint64            `json:"lastModifiedTime,omitempty,string"` // Unix ms
}

// DatasetInfo is a dataset as REST shows it.
type DatasetInfo struct {
	Kind             string            `json:"kind,omitempty"`
	ETag             string            `json:"etag,omitempty"`
	ID               string            `json:"id,omitempty"`
	Reference        Reference         `json:"datasetReference"`
	FriendlyName     string            `json:"friendlyName,omitempty"`
	Description      string            `json:"description,omitempty"`
	Labels           map[string]string `json:"labels,omitempty"`
	Location         string            `json:"location,omitempty"`
	CreationTime     int64             `json:"creationTime,omitempty,string"`     // Unix ms
	LastModifiedTime int64             `json:"lastModifiedTime,omitempty,string"` // Unix ms
}

type dataset struct {
	info   DatasetInfo
	tables map[string]*table
}

// table is a table and its rows. Its info, and all below it, is replaced and
// never changed, so that it can be read without the lock.
type table struct {
	name    string // projects/p/datasets/d/tables/t
	info    TableInfo
	created time.Time
	rows    []Row
	numRows int64
	bytes   int64
}

// stream is a stream that was created, and where it ends.
type stream struct {
	name      string
	number    int64 // in the order of creation
	table     *table
	created   time.Time
	end       int64
	finalized bool
}

// Rows returns a table's rows in the order in which they were accepted, or nil
// for a table that is not there.
func (s *Server) Rows(dataset, table string) []Row {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.table(dataset, table); t != nil {
		return slices.Clone(t.rows)
	}
	return nil
}

// Table returns a table as REST shows it, and whether there is one.
func (s *Server) Table(dataset, table string) (TableInfo, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.table(dataset, table); t != nil {
		return t.shown(), true
	}
	return TableInfo{}, false
}

// StreamInfo is a stream that was created.
type StreamInfo struct {
	Name      string
	Rows      int64 // and its end
	Finalized bool
}

// Streams returns the streams that were created for a table and not forgotten,
// the oldest first.
func (s *Server) Streams(dataset, table string) []StreamInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.table(dataset, table)
	var all []*stream
	for _, st := range s.streams {
		if st.table == t {
			all = append(all, st)
		}
	}
	slices.SortFunc(all, func(x, y *stream) int { return cmp.Compare(x.number, y.number) })
	out := make([]StreamInfo, 0, len(all))
	for _, st := range all {
		out = append(out, StreamInfo{Name: st.name, Rows: st.end, Finalized: st.finalized})
	}
	return out
}

// table returns nil for none; s.mu is held.
func (s *Server) table(dataset, id string) *table {
	if d := s.datasets[dataset]; d != nil {
		return d.tables[id]
	}
	return nil
}

// etag returns one that was never given before; s.mu is held.
func (s *Server) etag() string {
	s.nextVersion++
	return fmt.Sprintf("etag-%d", s.nextVersion)
}

func (t *table) shown() TableInfo {
	info := t.info
	info.NumRows, info.NumBytes = uint64(t.numRows), t.bytes
	return info
}
