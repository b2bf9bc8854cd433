package analytics

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/build-tracker/build-tracker/stream"
)

// rowOf begins a row with the columns that all tables have.
func rowOf(t *Table, e *stream.Event, branch string) Row {
	values := make([]any, 0, len(t.Columns))
	return Row{t, append(values, e.Time, e.Position, text(e.Organization), text(e.Pipeline), text(branch), e.Type)}
}

func (r *Row) add(values ...any) { r.Values = append(r.Values, values...) }

func eventRow(e *stream.Event, branch string) Row {
	r := rowOf(events, e, branch)
	r.add(e.ID.String(), numberOf(e), seqOf(e), int64(e.Version), payload(e))
	return r
}

// noticeRow takes what it can from the event's data.
func noticeRow(e *stream.Event) Row {
	var data struct{ Kind, Action, Channel, TS string }
	if err := json.Unmarshal(e.Data, &data); err != nil {
		return unreadable(notices, e, err)
	}
	r := rowOf(notices, e, "")
	r.add(seqOf(e), text(e.BuildID), numberOf(e), text(data.Kind), text(data.Action), text(data.Channel), text(data.TS))
	return r
}

// agentRow takes what it can from Buildkite's payload:
// https://buildkite.com/docs/apis/webhooks/pipelines/agent-events
func agentRow(e *stream.Event) Row {
	var data struct {
		Agent struct {
			ID        string          `json:"id"`
			Name      string          `json:"name"`
			Hostname  string          `json:"hostname"`
			Version   string          `json:"version"`
			IPAddress string          `json:"ip_address"`
			UserAgent string          `json:"user_agent"`
			Tags      json.RawMessage `json:"meta_data"`
		} `json:"agent"`
	}
	if err := json.Unmarshal(e.Data, &data); err != nil {
		return unreadable(agentStatus, e, err)
	}
	a := &data.Agent
	r := rowOf(agentStatus, e, "")
	r.add(e.Type, text(a.ID), text(a.Name), text(a.Hostname), text(a.Version), text(a.IPAddress), queues(a.Tags), text(a.UserAgent), e.Time)
	return r
}

// queues returns what the tags of the form queue=NAME name.
func queues(tags json.RawMessage) []string {
	var list []any
	if json.Unmarshal(tags, &list) != nil {
		return nil // of another form, such as null
	}
	var names []string
	for _, tag := range list {
		if s, ok := tag.(string); ok {
			if name, is := strings.CutPrefix(s, "queue="); is {
				names = append(names, name)
			}
		}
	}
	return names
}

// Rejected returns the row of the table rejected for one that could not be
// written.
func (r Row) Rejected(reason string) Row {
	out := Row{rejected, append(make([]any, 0, len(rejected.Columns)), r.Values[:len(common())]...)}
	place := int64(0)
	if n := r.Table.column(index.Name); n >= 0 {
		place = r.Values[n].(int64)
	}
	out.add(r.Table.Name, place, cut(reason, maxReason), cut(string(r.AppendJSON(nil)), maxRejected))
	return out
}

// Limits of a rejected row, in bytes.
const (
	maxReason   = 10_000
	maxRejected = 1_000_000
)

// unreadable says that the data of an event is not what a table needs.
func unreadable(t *Table, e *stream.Event, err error) Row {
	r := rowOf(rejected, e, "")
	r.add(t.Name, int64(0), cut(fmt.Sprintf("the event's data cannot be read: %v", err), maxReason), nil)
	return r
}

// cut returns at most n bytes of a text, whole characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}

// text is a text, or nil for none.
func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// payload is the data as it is stored: a copy of each would be most of the work.
func payload(e *stream.Event) any {
	if len(e.Data) == 0 {
		return nil
	}
	return []byte(e.Data)
}

func numberOf(e *stream.Event) any {
	if e.BuildID == "" {
		return nil
	}
	return e.Number
}

func seqOf(e *stream.Event) any {
	if e.BuildID == "" {
		return nil
	}
	return e.Seq
}

func timeOf(t *time.Time) any {
	if t == nil {
		return nil
	}
	return t.UTC()
}

func integer[N int | int64](n *N) any {
	if n == nil {
		return nil
	}
	return int64(*n)
}

// seconds is from one time to another, nil where one of them is not known or
// they are in no order, as clocks of two machines may have it.
func seconds(from, to *time.Time) any {
	if from == nil || to == nil || to.Before(*from) {
		return nil
	}
	return to.Sub(*from).Seconds()
}
