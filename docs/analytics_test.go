package docs_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/analytics"
)

func TestAnalyticsListsEveryColumn(t *testing.T) {
	t.Parallel()
	text := read(t, "docs/analytics.md")
	head, rest, ok := strings.Cut(text, begin)
	got, tail, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("analytics.md lacks its marks:\n%s%s", begin, end)
	}
	want := columns()
	if *update {
		if err := os.WriteFile("analytics.md", []byte(head+begin+want+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("analytics.md is not what is exported; `make generate` writes it (-want +got):\n%s", diff)
	}
}

// columns is a table for each table.
func columns() string {
	types := map[analytics.Kind]string{
		analytics.String: "STRING", analytics.Integer: "INT64", analytics.Float: "FLOAT64", analytics.Bool: "BOOL",
		analytics.Time: "TIMESTAMP", analytics.Strings: "ARRAY<STRING>", analytics.Record: "STRUCT",
	}
	var out strings.Builder
	for _, table := range analytics.Tables() {
		fmt.Fprintf(&out, "\n### %s\n\n%s\n\n| column | type | meaning |\n| --- | --- | --- |\n", table.Name, table.Description)
		var list func(prefix string, columns []analytics.Column)
		list = func(prefix string, columns []analytics.Column) {
			for _, c := range columns {
				fmt.Fprintf(&out, "| `%s%s` | %s | %s |\n", prefix, c.Name, types[c.Kind], c.Description)
				list(prefix+c.Name+".", c.Columns)
			}
		}
		list("", table.Columns)
	}
	return out.String() + "\n"
}

// TestQueriesAskForWhatThereIs: tables that there are, columns that they have, and
// a filter of the partitions.
func TestQueriesAskForWhatThereIs(t *testing.T) {
	t.Parallel()
	tables := make(map[string]*analytics.Table)
	for _, table := range analytics.Tables() {
		tables[table.Name] = table
		if table.Name == "builds" {
			tables["builds_latest"] = table
		}
	}
	queries := regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllStringSubmatch(read(t, "docs/analytics.md"), -1)
	if len(queries) < 6 {
		t.Fatalf("%d queries", len(queries))
	}
	named := regexp.MustCompile("FROM `ci\\.([a-z_]+)`\\s+WHERE ([^\n]*)")
	for _, q := range queries {
		from := named.FindStringSubmatch(q[1])
		if from == nil || tables[from[1]] == nil {
			t.Errorf("no table that there is:\n%s", q[1])
			continue
		}
		table, filter := tables[from[1]], from[2]
		if !strings.Contains(filter, "time >= ") && from[1] != "builds_latest" {
			t.Errorf("no filter of the partitions:\n%s", q[1])
		}
		has := func(name string) bool {
			return slices.ContainsFunc(table.Columns, func(c analytics.Column) bool { return c.Name == name }) ||
				regexp.MustCompile(`AS `+name+`\b`).MatchString(q[1])
		}
		text := regexp.MustCompile("'[^']*'|`[^`]*`").ReplaceAllString(q[1], "")
		for _, word := range regexp.MustCompile(`\b[a-z][a-z0-9_]+\b`).FindAllString(text, -1) {
			if !has(word) && word != "ends" && word != "incidents" {
				t.Errorf("%s has no column %s:\n%s", table.Name, word, q[1])
			}
		}
	}
}
