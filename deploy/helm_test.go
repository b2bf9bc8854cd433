package deploy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/build-tracker/build-tracker/internal/image"
)

const chart = "helm/build-tracker"

// templates returns the chart's templates as one text.
func templates(t *testing.T) string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(chart, "templates"))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, e := range entries {
		all.WriteString(read(t, filepath.Join(chart, "templates", e.Name())))
	}
	return all.String()
}

func TestChartSetsWhatTheProgramReads(t *testing.T) {
	t.Parallel()
	values := decode[struct {
		Secret struct{ Keys map[string]string }
		Env    map[string]string
	}](t, chart+"/values.yaml")
	if len(values.Secret.Keys) == 0 || len(values.Env) == 0 {
		t.Fatal("values.yaml sets no variable")
	}
	for name := range values.Secret.Keys {
		known(t, "values.yaml", name)
		known(t, "values.yaml", name+"_FILE")
	}
	for name := range values.Env {
		known(t, "values.yaml", name)
	}
	names := regexp.MustCompile(`- name: ([A-Z][A-Z0-9_]+)`).FindAllStringSubmatch(templates(t), -1)
	if len(names) == 0 {
		t.Fatal("the templates set no variable")
	}
	for _, m := range names {
		known(t, "the templates", m[1])
	}
}

// Every value has its place in the schema and in a template, and the other way
// round: one that is misspelt does nothing.
func TestChartsValuesAreUsedAndDescribed(t *testing.T) {
	t.Parallel()
	values := decode[map[string]any](t, chart+"/values.yaml")
	schema := decode[map[string]any](t, chart+"/values.schema.json")
	properties := schema["properties"].(map[string]any)
	delete(properties, "global") // Helm's own
	text := templates(t)
	for name, value := range values {
		property, ok := properties[name].(map[string]any)
		if !ok {
			t.Errorf("the schema has no %s", name)
			continue
		}
		fields, isObject := value.(map[string]any)
		described, isFixed := property["properties"].(map[string]any)
		if !isObject || !isFixed {
			described, fields = nil, nil
		}
		for field := range fields {
			if described[field] == nil {
				t.Errorf("the schema has no %s.%s", name, field)
			}
			if !strings.Contains(text, ".Values."+name+"."+field) {
				t.Errorf("no template uses %s.%s", name, field)
			}
		}
		for field := range described {
			if _, ok := fields[field]; !ok {
				t.Errorf("values.yaml has no %s.%s, which the schema describes", name, field)
			}
		}
	}
	for name := range properties {
		if _, ok := values[name]; !ok {
			t.Errorf("values.yaml has no %s, which the schema describes", name)
		}
	}
	for _, m := range regexp.MustCompile(`\.Values\.(\w+)(?:\.(\w+))?`).FindAllStringSubmatch(text, -1) {
		value, ok := values[m[1]]
		if fields, nested := value.(map[string]any); ok && m[2] != "" {
			_, ok = fields[m[2]]
			ok = ok && nested
		}
		if !ok {
			t.Errorf("a template uses %s, which values.yaml lacks", m[0])
		}
	}
}

func TestChartRunsTheImageAsItIs(t *testing.T) {
	t.Parallel()
	text := read(t, chart+"/templates/deployment.yaml")
	for _, field := range []string{"runAsUser", "runAsGroup", "fsGroup"} {
		if got := find(t, text, field+`: (\d+)`); got != fmt.Sprint(image.User) {
			t.Errorf("%s is %s, want the image's user %d", field, got, image.User)
		}
	}
	imaged := image.Config("", "")
	if dir := find(t, text, `DATA_DIR\n +value: (\S+)`); !slices.Contains(imaged.Env, "DATA_DIR="+dir) {
		t.Errorf("DATA_DIR is %s, want one of %q", dir, imaged.Env)
	}
	grace := seconds(t, find(t, text, `terminationGracePeriodSeconds: (\d+)`))
	sleep := seconds(t, find(t, text, `sleep: \{seconds: (\d+)\}`))
	if grace <= sleep+drain(t) {
		t.Errorf("terminationGracePeriodSeconds is %s, want more than %s of sleep and %s of draining", grace, sleep, drain(t))
	}
}

// The chart's rules are the ones that are published for Prometheus alone.
func TestChartHasTheAlerts(t *testing.T) {
	t.Parallel()
	if read(t, chart+"/alerts.yaml") != read(t, "prometheus/alerts.yaml") {
		t.Error("alerts.yaml of the chart is not deploy/prometheus/alerts.yaml: make it a link to it")
	}
}
