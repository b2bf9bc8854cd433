package analytics

// Kind is what the values of a column are.
type Kind int

// A value is nil for none, and else of the Go type named here.
const (
	String  Kind = iota // string or []byte, valid UTF-8
	Integer             // int64
	Float               // float64
	Bool                // bool
	Time                // time.Time, UTC, in microseconds
	Strings             // []string, any number of them
	Record              // []any, a value for each of its columns
)

// Column is a column of a table.
type Column struct {
	Name        string
	Description string
	Kind        Kind
	// Required: the value is never nil.
	Required bool
	// Columns are a Record's.
	Columns []Column
}

// Table is a table. All have the columns time, by whose day they are
// partitioned, position, and organization, pipeline, branch and type, by which
// they are clustered.
type Table struct {
	Name        string
	Description string
	Columns     []Column
	// Key are the columns that tell a row from every other.
	Key []string
}

// Row is a row of a table: a value for each of its columns. A []byte is the
// event's own Data.
type Row struct {
	Table  *Table
	Values []any
}

// Clustering are the columns by which every table is clustered, in this order.
func Clustering() []string { return []string{"organization", "pipeline", "branch", "type"} }

// PartitionColumn is the column by whose day every table is partitioned.
const PartitionColumn = "time"

// Tables returns all tables, in the order in which the rows of an event come.
func Tables() []*Table {
	return []*Table{events, builds, steps, jobs, notices, agentStatus, rejected}
}
