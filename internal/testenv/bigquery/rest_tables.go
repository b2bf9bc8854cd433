package bigquery

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// location is where all data is said to be.
const location = "US"

func (s *Server) insertDataset(_ *http.Request, body []byte) (any, error) {
	var d DatasetInfo
	if err := decode(body, &d); err != nil {
		return nil, err
	}
	id := d.Reference.DatasetID
	if !validID(id) {
		return nil, invalid("Invalid dataset ID %q. Dataset IDs must be alphanumeric (plus underscores) and must be at most 1024 characters long.", id)
	}
	full := s.o.Project + ":" + id
	if s.datasets[id] != nil {
		return nil, duplicate("Dataset", full)
	}
	if err := checkLabels(d.Labels); err != nil {
		return nil, err
	}
	d.Kind, d.ID, d.ETag = "bigquery#dataset", full, s.etag()
	d.Reference = Reference{ProjectID: s.o.Project, DatasetID: id}
	if d.Location == "" {
		d.Location = location
	}
	d.CreationTime = time.Now().UnixMilli()
	d.LastModifiedTime = d.CreationTime
	s.datasets[id] = &dataset{info: d, tables: make(map[string]*table)}
	return d, nil
}

func (s *Server) getDataset(r *http.Request, _ []byte) (any, error) {
	d, err := s.dataset(r)
	if err != nil {
		return nil, err
	}
	return d.info, nil
}

func (s *Server) dataset(r *http.Request) (*dataset, error) {
	id := r.PathValue("dataset")
	if d := s.datasets[id]; d != nil {
		return d, nil
	}
	return nil, notFound("Dataset", s.o.Project+":"+id)
}

func (s *Server) insertTable(r *http.Request, body []byte) (any, error) {
	d, err := s.dataset(r)
	if err != nil {
		return nil, err
	}
	var t TableInfo
	if err := decode(body, &t); err != nil {
		return nil, err
	}
	id := t.Reference.TableID
	if !validID(id) {
		return nil, invalid("Invalid table ID %q", id)
	}
	if d.tables[id] != nil {
		return nil, duplicate("Table", s.fullID(d, id))
	}
	if t.Schema != nil {
		if t.Schema.Fields, err = checkFields(t.Schema.Fields); err != nil {
			return nil, err
		}
	}
	if err := t.check(); err != nil {
		return nil, err
	}
	now := time.Now()
	created := &table{name: s.resource(d, id), created: now}
	t.Reference = Reference{ProjectID: s.o.Project, DatasetID: d.info.Reference.DatasetID, TableID: id}
	t.ID, t.Location, t.CreationTime = s.fullID(d, id), d.info.Location, now.UnixMilli()
	s.write(created, t, now)
	d.tables[id] = created
	return created.shown(), nil
}

// write gives a table a checked info, with what only BigQuery says of it.
func (s *Server) write(t *table, info TableInfo, now time.Time) {
	info.Kind, info.Type = "bigquery#table", typeTable
	if info.View != nil {
		info.Type = typeView
	}
	if info.TimePartitioning != nil && info.TimePartitioning.RequirePartitionFilter {
		info.RequirePartitionFilter = true
	}
	info.ETag, info.LastModifiedTime = s.etag(), uint64(now.UnixMilli())
	info.NumRows, info.NumBytes = 0, 0 // said by shown
	t.info = info
}

func (s *Server) fullID(d *dataset, table string) string {
	return s.o.Project + ":" + d.info.Reference.DatasetID + "." + table
}

func (s *Server) resource(d *dataset, table string) string {
	return "projects/" + s.o.Project + "/datasets/" + d.info.Reference.DatasetID + "/tables/" + table
}

// requested returns the table that a request names.
func (s *Server) requested(r *http.Request) (*dataset, *table, error) {
	d, err := s.dataset(r)
	if err != nil {
		return nil, nil, err
	}
	id := r.PathValue("table")
	if t := d.tables[id]; t != nil {
		return d, t, nil
	}
	return nil, nil, notFound("Table", s.fullID(d, id))
}

func (s *Server) getTable(r *http.Request, _ []byte) (any, error) {
	_, t, err := s.requested(r)
	if err != nil {
		return nil, err
	}
	return t.shown(), nil
}

func (s *Server) deleteTable(r *http.Request, _ []byte) (any, error) {
	d, t, err := s.requested(r)
	if err != nil {
		return nil, err
	}
	delete(d.tables, t.info.Reference.TableID)
	maps.DeleteFunc(s.streams, func(_ string, st *stream) bool { return st.table == t })
	return nil, nil
}

// patchTable changes what the body names.
func (s *Server) patchTable(r *http.Request, body []byte) (any, error) {
	_, t, err := s.requested(r)
	if err != nil {
		return nil, err
	}
	before, err := json.Marshal(t.info)
	if err != nil {
		return nil, err
	}
	var target, patch map[string]any
	if err := json.Unmarshal(before, &target); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(body, &patch); err != nil {
		return nil, invalid("Invalid JSON payload received: %v", err)
	}
	after, err := json.Marshal(merge(target, patch))
	if err != nil {
		return nil, err
	}
	return s.updateTable(r, after)
}

// merge changes target as a JSON merge patch says (RFC 7396).
func merge(target, patch map[string]any) map[string]any {
	if target == nil {
		target = make(map[string]any)
	}
	for k, v := range patch {
		inner, is := v.(map[string]any)
		switch {
		case v == nil:
			delete(target, k)
		case is:
			old, _ := target[k].(map[string]any)
			target[k] = merge(old, inner)
		default:
			target[k] = v
		}
	}
	return target
}

// updateTable replaces a table's info by the body.
func (s *Server) updateTable(r *http.Request, body []byte) (any, error) {
	_, t, err := s.requested(r)
	if err != nil {
		return nil, err
	}
	if match := r.Header.Get("If-Match"); match != "" && match != "*" && match != t.info.ETag {
		return nil, &apiError{http.StatusPreconditionFailed, "conditionNotMet", "Precondition Failed: the table was changed since its ETag was read"}
	}
	var after TableInfo
	if err := decode(body, &after); err != nil {
		return nil, err
	}
	if err := evolve(t.info, &after); err != nil {
		return nil, err
	}
	s.write(t, after, time.Now())
	return t.shown(), nil
}

// evolve completes after with what does not change, and returns why a table
// cannot become so.
func evolve(before TableInfo, after *TableInfo) error {
	if (before.View != nil) != (after.View != nil) {
		return invalid("Cannot change the type of %s", before.ID)
	}
	var old []Field
	if before.Schema != nil {
		old = before.Schema.Fields
	}
	var now []Field
	if after.Schema != nil {
		now = after.Schema.Fields
	}
	fields, err := checkFields(now)
	if err != nil {
		return err
	}
	if err := checkEvolution(before.ID, "", old, fields); err != nil {
		return err
	}
	if after.Schema != nil {
		after.Schema = &Schema{Fields: fields}
	}
	if err := after.check(); err != nil {
		return err
	}
	if was, is := before.TimePartitioning, after.TimePartitioning; (was == nil) != (is == nil) || was != nil && (was.Type != is.Type || !strings.EqualFold(was.Field, is.Field)) {
		return invalid("Cannot convert non partitioned/partitioned table %s to one that is partitioned otherwise", before.ID)
	}
	after.ID, after.Reference = before.ID, before.Reference
	after.Location, after.CreationTime = before.Location, before.CreationTime
	return nil
}

const (
	pageSize    = 50
	maxPageSize = 1000
)

// listTables pages through a dataset by the tables' ids; a page's token is the
// last id before it.
func (s *Server) listTables(r *http.Request, _ []byte) (any, error) {
	d, err := s.dataset(r)
	if err != nil {
		return nil, err
	}
	size := pageSize
	if asked := r.FormValue("maxResults"); asked != "" {
		if size, err = strconv.Atoi(asked); err != nil || size < 1 {
			return nil, invalid("Invalid value for maxResults: %s", asked)
		}
	}
	type item struct {
		Kind             string        `json:"kind"`
		ID               string        `json:"id"`
		Reference        Reference     `json:"tableReference"`
		Type             string        `json:"type"`
		TimePartitioning *Partitioning `json:"timePartitioning,omitempty"`
		Clustering       *Clustering   `json:"clustering,omitempty"`
		CreationTime     int64         `json:"creationTime,string"`
	}
	var page struct {
		Kind          string `json:"kind"`
		NextPageToken string `json:"nextPageToken,omitempty"`
		TotalItems    int    `json:"totalItems"`
		Tables        []item `json:"tables,omitempty"`
	}
	page.Kind, page.TotalItems = "bigquery#tableList", len(d.tables)
	ids := slices.Sorted(maps.Keys(d.tables))
	ids = slices.DeleteFunc(ids, func(id string) bool { return id <= r.FormValue("pageToken") })
	for i, id := range ids {
		if i == min(size, maxPageSize) {
			page.NextPageToken = ids[i-1]
			break
		}
		t := d.tables[id].info
		page.Tables = append(page.Tables, item{t.Kind, t.ID, t.Reference, t.Type, t.TimePartitioning, t.Clustering, t.CreationTime})
	}
	return page, nil
}
