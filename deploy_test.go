package buildtracker

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	dto "github.com/prometheus/client_model/go"
)

// The rules and the dashboard ask for metrics that there are, by labels and
// values that they have.

func TestAlertsAskForMetricsThatThereAre(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.FromSlash("deploy/prometheus/alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	type rule struct {
		Alert, Expr, For    string
		Labels, Annotations map[string]string
	}
	var file struct {
		Groups []struct {
			Name  string
			Rules []rule
		}
	}
	if err := yaml.UnmarshalWithOptions(text, &file, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	known := catalogue(t)
	names := make(map[string]bool)
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if names[r.Alert] || !strings.HasPrefix(r.Alert, "BuildTracker") {
				t.Errorf("an alert is called %q, or two are", r.Alert)
			}
			names[r.Alert] = true
			if severity := r.Labels["severity"]; severity != "critical" && severity != "warning" {
				t.Errorf("%s has severity %q", r.Alert, severity)
			}
			if r.For == "" || r.Annotations["summary"] == "" || len(r.Annotations["description"]) < 80 {
				t.Errorf("%s lacks a duration, a summary, or what to do", r.Alert)
			}
			if err := known.check(r.Expr); err != nil {
				t.Errorf("%s: %v", r.Alert, err)
			}
		}
	}
	if len(names) < 10 {
		t.Errorf("there are only %d alerts", len(names))
	}
}

func TestDashboardAsksForMetricsThatThereAre(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.FromSlash("deploy/grafana/dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	type source struct{ Type, UID string }
	var board struct {
		UID, Title    string
		SchemaVersion int
		Annotations   struct{ List []struct{ Expr string } }
		Templating    struct {
			List []struct{ Name, Type, Definition string }
		}
		Panels []struct {
			ID                       int
			Type, Title, Description string
			Datasource               source
			GridPos                  struct{ H, W, X, Y int }
			FieldConfig              struct{ Defaults struct{ Unit string } }
			Targets                  []struct {
				RefID, Expr string
				Datasource  source
			}
		}
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	if board.SchemaVersion < 38 { // Grafana 10
		t.Errorf("schema version %d", board.SchemaVersion)
	}
	known := catalogue(t)
	variables := make(map[string]bool)
	for _, v := range board.Templating.List {
		variables[v.Type+" "+v.Name] = true
		if metric, _, ok := strings.Cut(strings.TrimPrefix(v.Definition, "label_values("), ","); ok {
			if err := known.check(metric); err != nil {
				t.Errorf("variable %s: %v", v.Name, err)
			}
		}
	}
	for _, want := range []string{"datasource datasource", "query instance"} {
		if !variables[want] {
			t.Errorf("there is no variable %s", want)
		}
	}
	for _, a := range board.Annotations.List {
		if err := known.check(a.Expr); err != nil {
			t.Errorf("annotation: %v", err)
		}
	}
	ids := make(map[int]bool)
	taken := make(map[[2]int]string)
	for _, p := range board.Panels {
		if ids[p.ID] {
			t.Errorf("%s: two panels have id %d", p.Title, p.ID)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%q lies on %q, or beyond the edge", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Title == "" || p.Description == "" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 {
			t.Errorf("panel %d lacks a title, a description, a unit or a query", p.ID)
		}
		for _, q := range p.Targets {
			if want := (source{"prometheus", "${datasource}"}); p.Datasource != want || q.Datasource != want {
				t.Errorf("%s asks a fixed data source", p.Title)
			}
			if err := known.check(q.Expr); err != nil {
				t.Errorf("%s: %v", p.Title, err)
			}
		}
	}
}

// series are what a metric's samples are labelled with: values by name. Values
// of labels that are not listed may be anything.
type series map[string][]string

// metricCatalogue knows the samples that a server has, by name.
type metricCatalogue map[string]series

func catalogue(t testing.TB) metricCatalogue {
	t.Helper()
	known := metricCatalogue{"up": {}}
	for _, f := range families(t) {
		labels := series{}
		for _, m := range f.Metric {
			for _, l := range m.Label {
				labels[l.GetName()] = append(labels[l.GetName()], l.GetValue())
			}
		}
		name := f.GetName()
		if f.GetType() != dto.MetricType_HISTOGRAM && f.GetType() != dto.MetricType_SUMMARY {
			known[name] = labels
			continue
		}
		known[name+"_sum"], known[name+"_count"] = labels, labels
		known[name+"_bucket"] = maps.Clone(labels)
		known[name+"_bucket"]["le"] = nil
	}
	return known
}

// token is a string, a range, a name, a number, or something else of an
// expression.
var token = regexp.MustCompile(`"[^"]*"|\[[^\]]*\]|[a-zA-Z_:][a-zA-Z0-9_:]*|[0-9.]+[a-z]*|[=!]~|[=!<>]=|\S`)

var (
	functions = []string{
		"absent", "changes", "count", "histogram_quantile", "increase", "max", "min", "rate", "sum", "vector",
	}
	words = []string{"and", "or", "unless", "bool"}
)

// check says what of an expression there is not. It reads only as much PromQL as
// there is here: names, matchers and groupings.
func (known metricCatalogue) check(expr string) error {
	tokens := token.FindAllString(expr, -1)
	next := func(i int) string {
		if i < len(tokens) {
			return tokens[i]
		}
		return ""
	}
	open, used := 0, series{"instance": nil, "job": nil}
	var groups []string
	for i := 0; i < len(tokens); i++ {
		switch it := tokens[i]; {
		case it == "(":
			open++
		case it == ")":
			open--
		case !isName(it) || slices.Contains(words, it):
		case it == "by" || it == "without":
			for i++; next(i) != ")" && i < len(tokens); i++ {
				if isName(tokens[i]) {
					groups = append(groups, tokens[i])
				}
			}
		case next(i+1) == "(" || next(i+1) == "by":
			if !slices.Contains(functions, it) {
				return fmt.Errorf("there is no function %s, or it is new here", it)
			}
		default:
			labels, ok := known[it]
			if !ok {
				return fmt.Errorf("there is no metric %s", it)
			}
			maps.Copy(used, labels)
			if next(i+1) != "{" {
				continue
			}
			for i += 2; next(i) != "}" && i < len(tokens); i++ {
				if next(i) == "," {
					continue
				}
				if err := labels.match(it, tokens[i], next(i+1), next(i+2)); err != nil {
					return err
				}
				i += 2
			}
		}
		if open < 0 {
			return fmt.Errorf("a bracket is closed that was not opened: %s", expr)
		}
	}
	for _, g := range groups {
		if _, ok := used[g]; !ok {
			return fmt.Errorf("nothing in %s has a label %s", expr, g)
		}
	}
	if open != 0 || len(tokens) == 0 {
		return fmt.Errorf("%d brackets are open after %q", open, expr)
	}
	return nil
}

// match checks one matcher of a metric: label, operator, quoted value.
func (labels series) match(metric, label, operator, quoted string) error {
	if !slices.Contains([]string{"=", "!=", "=~", "!~"}, operator) || !strings.HasPrefix(quoted, `"`) {
		return fmt.Errorf("%s has a matcher %s %s %s", metric, label, operator, quoted)
	}
	if label == "instance" || label == "job" {
		return nil
	}
	there, ok := labels[label]
	if !ok {
		return fmt.Errorf("%s has no label %s", metric, label)
	}
	for want := range strings.SplitSeq(strings.Trim(quoted, `"`), "|") {
		if !slices.Contains(there, want) {
			return fmt.Errorf("%s is never %q in %s", label, want, metric)
		}
	}
	return nil
}

func isName(token string) bool {
	return regexp.MustCompile(`^[a-zA-Z_:]`).MatchString(token)
}

func TestExpressionsThatAskForNothingAreFound(t *testing.T) {
	t.Parallel()
	known := metricCatalogue{"a_total": {"result": {"good", "bad"}}, "b_bucket": {"le": nil}, "up": {}}
	for _, expr := range []string{
		`up{job="x"} == 0`,
		`sum by (result) (rate(a_total{instance=~"$instance",result=~"good|bad"}[5m])) > 0.5`,
		`histogram_quantile(0.99, sum by (le) (rate(b_bucket[$__rate_interval])))`,
	} {
		if err := known.check(expr); err != nil {
			t.Errorf("%s: %v", expr, err)
		}
	}
	for _, expr := range []string{
		"", `c_total`, `rate(a_totals[5m])`, `a_total{results="good"}`, `a_total{result="god"}`, `a_total{result=~"good|bed"}`,
		`sum by (outcome) (a_total)`, `rates(a_total[5m])`, `sum(a_total`, `sum(a_total))`, `a_total{result}`,
	} {
		if err := known.check(expr); err == nil {
			t.Errorf("%q is taken for right", expr)
		}
	}
}
