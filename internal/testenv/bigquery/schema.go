package bigquery

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// BigQuery's limits of tables.
// https://cloud.google.com/bigquery/quotas, https://cloud.google.com/bigquery/docs/schemas
const (
	maxColumns           = 10_000
	maxNesting           = 15
	maxClustering        = 4
	maxFieldDescription  = 1024
	maxTableDescription  = 16384
	maxLabels            = 64
	typeRecord           = "RECORD"
	modeNullable         = "NULLABLE"
	modeRequired         = "REQUIRED"
	modeRepeated         = "REPEATED"
	typeTable, typeView  = "TABLE", "VIEW"
	partitionedByDayOnly = "DAY"
)

// Field is a column of a table or a field of a RECORD.
type Field struct {
	Name        string  `json:"name,omitempty"`
	Type        string  `json:"type,omitempty"` // as BigQuery answers it: INTEGER, not INT64
	Mode        string  `json:"mode,omitempty"` // NULLABLE, REQUIRED or REPEATED
	Description string  `json:"description,omitempty"`
	Fields      []Field `json:"fields,omitempty"`
}

// fieldTypes are the names that BigQuery answers by those that it takes.
var fieldTypes = map[string]string{
	"BOOL": "BOOLEAN", "BOOLEAN": "BOOLEAN",
	"BYTES": "BYTES",
	"DATE":  "DATE",
	"FLOAT": "FLOAT", "FLOAT64": "FLOAT",
	"INT64": "INTEGER", "INTEGER": "INTEGER",
	"JSON":   "JSON",
	"RECORD": typeRecord, "STRUCT": typeRecord,
	"STRING":    "STRING",
	"TIMESTAMP": "TIMESTAMP",
}

// clusterable are the types that a table can be clustered by.
var clusterable = []string{"BOOLEAN", "DATE", "INTEGER", "STRING", "TIMESTAMP"}

var (
	fieldName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,299}$`)
	labelKey  = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)
	labelText = regexp.MustCompile(`^[a-z0-9_-]{0,63}$`)
)

// reservedNames are the beginnings that no column's name has, in upper case.
var reservedNames = []string{"_TABLE_", "_FILE_", "_PARTITION", "_ROW_TIMESTAMP", "__ROOT__", "_COLIDENTIFIER", "_CHANGE_SEQUENCE_NUMBER", "_CHANGE_TYPE", "_CHANGE_TIMESTAMP"}

// checkFields returns the fields with their types and modes as BigQuery answers
// them, or the refusal.
func checkFields(fields []Field) ([]Field, error) {
	columns := 0
	return normalize(fields, 0, &columns)
}

func normalize(fields []Field, depth int, columns *int) ([]Field, error) {
	if depth > maxNesting {
		return nil, invalid("Schema is nested deeper than %d levels", maxNesting)
	}
	seen := make(map[string]bool)
	out := make([]Field, 0, len(fields))
	for _, f := range fields {
		if *columns++; *columns > maxColumns {
			return nil, invalid("Too many total leaf fields: more than %d", maxColumns)
		}
		if err := checkName(f.Name); err != nil {
			return nil, err
		}
		if seen[strings.ToLower(f.Name)] {
			return nil, invalid("Duplicate field name: %s", f.Name)
		}
		seen[strings.ToLower(f.Name)] = true
		f, err := normalizeField(f)
		if err != nil {
			return nil, err
		}
		if f.Fields, err = normalize(f.Fields, depth+1, columns); err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return slices.Clip(out), nil
}

func checkName(name string) error {
	if !fieldName.MatchString(name) {
		return invalid("Invalid field name %q. Fields must contain only letters, numbers, and underscores, start with a letter or underscore, and be at most 300 characters long.", name)
	}
	for _, reserved := range reservedNames {
		if strings.HasPrefix(strings.ToUpper(name), reserved) {
			return invalid("Invalid field name %q. Field names are not allowed to start with the (case-insensitive) prefix %s", name, reserved)
		}
	}
	return nil
}

func normalizeField(f Field) (Field, error) {
	typ, known := fieldTypes[strings.ToUpper(f.Type)]
	if !known {
		return f, invalid("Field %s has type %q, which this stand-in does not know", f.Name, f.Type)
	}
	f.Type = typ
	if f.Mode = strings.ToUpper(f.Mode); f.Mode == "" {
		f.Mode = modeNullable
	}
	switch {
	case f.Mode != modeNullable && f.Mode != modeRequired && f.Mode != modeRepeated:
		return f, invalid("Invalid value for mode: %s is not a valid value", f.Mode)
	case utf8.RuneCountInString(f.Description) > maxFieldDescription:
		return f, invalid("The description for field %s is too long. The maximum length is %d characters.", f.Name, maxFieldDescription)
	case typ == typeRecord && len(f.Fields) == 0:
		return f, invalid("Field %s is type RECORD but has no schema", f.Name)
	case typ != typeRecord && len(f.Fields) > 0:
		return f, invalid("Field %s is type %s but has a schema", f.Name, typ)
	}
	return f, nil
}

// checkEvolution returns why a table with columns before cannot have columns
// after; path is of the RECORD that they are in, with a dot at its end.
func checkEvolution(table, path string, before, after []Field) error {
	mismatch := func(format string, args ...any) error {
		return invalid("Provided Schema does not match Table %s. "+format, append([]any{table}, args...)...)
	}
	for i, old := range before {
		at := slices.IndexFunc(after, func(f Field) bool { return strings.EqualFold(f.Name, old.Name) })
		if at < 0 {
			return mismatch("Field %s%s is missing in new schema", path, old.Name)
		}
		now := after[at]
		switch {
		case now.Type != old.Type:
			return mismatch("Field %s%s has changed type from %s to %s", path, old.Name, old.Type, now.Type)
		case now.Mode != old.Mode && (old.Mode != modeRequired || now.Mode != modeNullable):
			return mismatch("Field %s%s has changed mode from %s to %s", path, old.Name, old.Mode, now.Mode)
		case at != i || now.Name != old.Name:
			return mismatch("Field %s%s has changed its place or its name's case; new fields go to the end", path, old.Name)
		}
		if err := checkEvolution(table, path+old.Name+".", old.Fields, now.Fields); err != nil {
			return err
		}
	}
	for _, added := range after[len(before):] {
		if added.Mode == modeRequired {
			return mismatch("Cannot add required fields to an existing schema. (field: %s%s)", path, added.Name)
		}
	}
	return nil
}

// check returns the refusal of a table that cannot be; its fields are
// normalized.
func (t *TableInfo) check() error {
	if t.View != nil {
		if t.View.Query == "" {
			return invalid("View query is missing")
		}
		if t.Schema != nil || t.TimePartitioning != nil || t.Clustering != nil || t.RequirePartitionFilter {
			return invalid("A view cannot have a schema, partitioning or clustering")
		}
	}
	if utf8.RuneCountInString(t.Description) > maxTableDescription {
		return invalid("The table's description is too long. The maximum length is %d characters.", maxTableDescription)
	}
	if err := t.checkPartitioning(); err != nil {
		return err
	}
	if err := t.checkClustering(); err != nil {
		return err
	}
	return checkLabels(t.Labels)
}

func (t *TableInfo) checkPartitioning() error {
	p := t.TimePartitioning
	if p == nil {
		if t.RequirePartitionFilter {
			return invalid("require_partition_filter is only supported on partitioned tables")
		}
		return nil
	}
	f, known := t.column(p.Field)
	switch {
	case p.Type != partitionedByDayOnly || p.Field == "":
		return invalid("This stand-in knows only partitioning by DAY on a column, not %q on %q", p.Type, p.Field)
	case !known:
		return invalid("The field specified for partitioning cannot be found in the schema: %s", p.Field)
	case f.Type != "TIMESTAMP" && f.Type != "DATE":
		return invalid("The field specified for partitioning, %s, must be of type TIMESTAMP or DATE, not %s", p.Field, f.Type)
	case f.Mode == modeRepeated:
		return invalid("The field specified for partitioning, %s, must be NULLABLE or REQUIRED", p.Field)
	case p.ExpirationMs < 0:
		return invalid("The partitions' expiration must be a positive number of milliseconds")
	}
	return nil
}

func (t *TableInfo) checkClustering() error {
	if t.Clustering == nil {
		return nil
	}
	names := t.Clustering.Fields
	if len(names) == 0 || len(names) > maxClustering {
		return invalid("Clustering takes 1 to %d fields, not %d", maxClustering, len(names))
	}
	for i, name := range names {
		f, known := t.column(name)
		switch {
		case !known:
			return invalid("The field specified for clustering cannot be found in the schema: %s", name)
		case !slices.Contains(clusterable, f.Type) || f.Mode == modeRepeated:
			return invalid("Field %s of type %s and mode %s cannot be clustered by", name, f.Type, f.Mode)
		case slices.Contains(names[:i], name):
			return invalid("Field %s is there twice in clustering", name)
		}
	}
	return nil
}

func (t *TableInfo) column(name string) (Field, bool) {
	if t.Schema == nil {
		return Field{}, false
	}
	i := slices.IndexFunc(t.Schema.Fields, func(f Field) bool { return strings.EqualFold(f.Name, name) })
	if i < 0 {
		return Field{}, false
	}
	return t.Schema.Fields[i], true
}

func checkLabels(labels map[string]string) error {
	if len(labels) > maxLabels {
		return invalid("There are %d labels; %d are allowed", len(labels), maxLabels)
	}
	for k, v := range labels {
		if !labelKey.MatchString(k) || !labelText.MatchString(v) {
			return invalid("Label %s=%s is invalid: lowercase letters, digits, underscores and dashes, 63 at most", k, v)
		}
	}
	return nil
}
