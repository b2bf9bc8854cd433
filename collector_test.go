package buildtracker

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// collector takes traces by OTLP over HTTP.
type collector struct {
	url    string
	client *http.Client

	mu    sync.Mutex
	spans []*exported
	raw   strings.Builder // all that came
}

// exported is a span, and who made it.
type exported struct {
	*tracepb.Span
	service, instance string
}

func newCollector(t testing.TB) *collector {
	t.Helper()
	c := &collector{client: &http.Client{Transport: new(http.Transport)}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := c.take(r); err != nil {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	c.url = server.URL + "/v1/traces"
	t.Cleanup(func() {
		c.client.CloseIdleConnections()
		server.Close()
	})
	return c
}

func (c *collector) take(r *http.Request) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	var export collectorpb.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &export); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw.Write(body)
	for _, from := range export.ResourceSpans {
		for _, scope := range from.ScopeSpans {
			for _, s := range scope.Spans {
				who := from.Resource.Attributes
				c.spans = append(c.spans, &exported{s, value(who, "service.name"), value(who, "service.instance.id")})
			}
		}
	}
	return nil
}

// exporter returns what sends to the collector.
func (c *collector) exporter(t testing.TB) sdktrace.SpanExporter {
	t.Helper()
	e, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(c.url), otlptracehttp.WithHTTPClient(c.client))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// text is all that came, as it came.
func (c *collector) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.raw.String()
}

// named returns the spans of a name.
func (c *collector) named(name string) (found []*exported) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if s.Name == name {
			found = append(found, s)
		}
	}
	return found
}

// tree draws a trace: names, each below its parent and by name. A span whose
// parent is not there is at the left, after "?".
func (c *collector) tree(trace string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	children := make(map[string][]*exported)
	known := make(map[string]bool)
	for _, s := range c.spans {
		if hex.EncodeToString(s.TraceId) == trace {
			children[string(s.ParentSpanId)] = append(children[string(s.ParentSpanId)], s)
			known[string(s.SpanId)] = true
		}
	}
	var b strings.Builder
	var draw func(parent, indent string)
	draw = func(parent, indent string) {
		slices.SortFunc(children[parent], func(x, y *exported) int { return strings.Compare(x.Name, y.Name) })
		for _, s := range children[parent] {
			fmt.Fprintf(&b, "%s%s\n", indent, s.Name)
			draw(string(s.SpanId), indent+"  ")
		}
	}
	draw("", "")
	for parent, lost := range children {
		for _, s := range lost {
			if parent != "" && !known[parent] {
				fmt.Fprintf(&b, "? %s\n", s.Name)
			}
		}
	}
	return b.String()
}

// value returns an attribute as text.
func value(attributes []*commonpb.KeyValue, key string) string {
	for _, a := range attributes {
		if a.Key != key {
			continue
		}
		if n, ok := a.Value.Value.(*commonpb.AnyValue_IntValue); ok {
			return fmt.Sprint(n.IntValue)
		}
		return a.Value.GetStringValue()
	}
	return ""
}
