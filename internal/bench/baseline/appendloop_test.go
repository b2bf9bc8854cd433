package baseline_test

import (
	"testing"
	"time"

	"github.com/build-tracker/build-tracker/analytics"
	"github.com/build-tracker/build-tracker/internal/bench/baseline"
	"github.com/build-tracker/build-tracker/internal/testenv/bigquery"
	"github.com/build-tracker/build-tracker/stream"
)

func TestAppendLoopAppendsEveryRow(t *testing.T) {
	t.Parallel()
	to, err := bigquery.New(bigquery.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	d := analytics.NewDeriver(nil)
	var rows []analytics.Row
	for n := range 1200 {
		e := stream.Event{
			Position: int64(n + 1), Organization: "acme", Type: "agent.connected", Version: 1, Time: time.UnixMicro(int64(n)).UTC(),
			Data: []byte(`{"agent":{"id":"a","meta_data":["queue=a","queue=b"]}}`),
		}
		if rows, err = d.Append(t.Context(), rows, &e); err != nil {
			t.Fatal(err)
		}
	}
	loop, err := baseline.NewAppendLoop(t.Context(), baseline.AppendLoopOptions{REST: to.URL(), Storage: to.StorageAddr()}, rows)
	if err != nil {
		t.Fatal(err)
	}
	defer loop.Close()
	if err := loop.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"events", "agent_status"} {
		got := to.Rows("ci", table)
		if len(got) != 1200 || got[1199]["position"] != int64(1200) {
			t.Errorf("%d rows in %s", len(got), table)
		}
	}
}
