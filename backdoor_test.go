package buildtracker

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/s2"
)

// change changes a database behind a server's back, and fails unless it
// changes something.
func (s stores) change(t testing.TB, query string, args ...any) {
	t.Helper()
	ctx := t.Context()
	var changed int64
	if s.database != "" {
		conn, err := pgx.Connect(ctx, s.database)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.WithoutCancel(ctx))
		tag, err := conn.Exec(ctx, query, args...)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		changed = tag.RowsAffected()
	} else {
		file := s.sqlite(t)
		defer file.Close()
		result, err := file.ExecContext(ctx, query, args...)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		if changed, err = result.RowsAffected(); err != nil {
			t.Fatal(err)
		}
	}
	if changed == 0 {
		t.Fatalf("%s changes nothing", query)
	}
}

func (s stores) sqlite(t testing.TB) *sql.DB {
	t.Helper()
	file, err := sql.Open("sqlite", "file:"+filepath.Join(s.dir, "events.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// dump returns every value of every table, by table; what is compressed twice,
// as it is and as it was.
func (s stores) dump(t testing.TB) map[string]string {
	t.Helper()
	tables := make(map[string]string)
	if s.database == "" {
		for _, name := range s.names(t, `SELECT name FROM sqlite_master WHERE type = 'table'`) {
			tables[name] = s.rows(t, `SELECT * FROM "`+name+`"`)
		}
		return tables
	}
	for _, name := range s.names(t, `SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()`) {
		tables[name] = s.rows(t, `SELECT * FROM "`+name+`"`)
	}
	return tables
}

func (s stores) names(t testing.TB, query string) (names []string) {
	t.Helper()
	s.query(t, query, func(values []any) { names = append(names, fmt.Sprint(values[0])) })
	return names
}

func (s stores) rows(t testing.TB, query string) string {
	t.Helper()
	var out bytes.Buffer
	s.query(t, query, func(values []any) {
		for _, v := range values {
			if b, ok := v.([]byte); ok {
				out.Write(b)
				out.WriteByte(' ')
				out.Write(unpacked(b))
			} else {
				fmt.Fprint(&out, v)
			}
			out.WriteByte('\t')
		}
		out.WriteByte('\n')
	})
	return out.String()
}

func (s stores) query(t testing.TB, query string, row func(values []any)) {
	t.Helper()
	ctx := t.Context()
	if s.database != "" {
		conn, err := pgx.Connect(ctx, s.database)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.WithoutCancel(ctx))
		rows, err := conn.Query(ctx, query)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		for rows.Next() {
			values, err := rows.Values()
			if err != nil {
				t.Fatal(err)
			}
			row(values)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return
	}
	file := s.sqlite(t)
	defer file.Close()
	rows, err := file.QueryContext(ctx, query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		row(values)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

// files returns what the files of the data directory hold, by name.
func (s stores) files(t testing.TB) map[string]string {
	t.Helper()
	held := make(map[string]string)
	if s.dir == "" {
		return held
	}
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		held[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return held
}

// keys returns what Redis holds, by key, when the server has its own.
func (s stores) keys(t testing.TB) map[string]string {
	t.Helper()
	client, err := dialRedis(s.redis)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx := t.Context()
	names, err := client.Keys(ctx, "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	held := make(map[string]string)
	for _, name := range names {
		kind, err := client.Type(ctx, name).Result()
		if err != nil {
			t.Fatal(err)
		}
		var value any
		switch kind {
		case "string":
			value, err = client.Get(ctx, name).Result()
		case "hash":
			value, err = client.HGetAll(ctx, name).Result()
		case "zset":
			value, err = client.ZRange(ctx, name, 0, -1).Result()
		case "set":
			value, err = client.SMembers(ctx, name).Result()
		case "list":
			value, err = client.LRange(ctx, name, 0, -1).Result()
		case "none": // it has expired
		default:
			t.Fatalf("Redis has a %s", kind)
		}
		if err != nil {
			t.Fatal(err)
		}
		held[name] = fmt.Sprint(value)
	}
	return held
}

// unpacked is what a payload or snapshot was, nothing for what is neither: a
// key's first bytes may claim to be gigabytes.
func unpacked(b []byte) []byte {
	if n, err := s2.DecodedLen(b); err != nil || n > 16<<20 || len(b) == 16 || len(b) == 32 {
		return nil
	}
	plain, err := s2.Decode(nil, b)
	if err != nil {
		return nil
	}
	return plain
}

// packed is a text as the stores keep it.
func packed(text string) []byte { return s2.Encode(nil, []byte(text)) }

// changeSnapshot changes what a build's row has of it.
func (s stores) changeSnapshot(t testing.TB, id string, change func(map[string]any)) {
	t.Helper()
	var b map[string]any
	s.query(t, `SELECT snapshot FROM builds WHERE id = '`+id+`'`, func(v []any) {
		plain, err := s2.Decode(nil, v[0].([]byte))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(plain, &b); err != nil {
			t.Fatal(err)
		}
	})
	change(b)
	text, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	s.change(t, `UPDATE builds SET snapshot = $1 WHERE id = '`+id+`'`, packed(string(text)))
}
