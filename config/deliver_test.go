package config_test

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/config"
)

func TestDeliverySignsWithTheFirstToken(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("filed\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		flags config.DeliverFlags
		want  config.Deliver
	}{
		"told nothing": {
			config.DeliverFlags{},
			config.Deliver{URL: "http://127.0.0.1:8080"},
		},
		"one token": {
			config.DeliverFlags{ClientFlags: config.ClientFlags{URL: "https://ci.example.com/", Token: "pass"}, WebhookToken: "hush"},
			config.Deliver{URL: "https://ci.example.com", Token: "pass", WebhookToken: "hush"},
		},
		"tokens that rotate": {
			config.DeliverFlags{WebhookToken: " new , old"},
			config.Deliver{URL: "http://127.0.0.1:8080", WebhookToken: "new"},
		},
		"a token from a file": {
			config.DeliverFlags{WebhookTokenFile: file},
			config.Deliver{URL: "http://127.0.0.1:8080", WebhookToken: "filed"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := tc.flags.Config()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&tc.want, got, cmp.Comparer(sameSecret)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// sameSecret compares what Secret does not print.
func sameSecret(a, b config.Secret) bool { return a.Value() == b.Value() }

func TestDeliveryReportsAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	flags := config.SendFlags{Rate: "fast", DeliverFlags: config.DeliverFlags{WebhookToken: "hush,"}}
	flags.URL = "ci.example.com"
	_, err := flags.Config()
	if err == nil || strings.Contains(err.Error(), "hush") {
		t.Fatalf("error %v, want one that shows no secret", err)
	}
	for _, name := range []string{"BUILDTRACKER_URL", "BUILDKITE_WEBHOOK_TOKEN", "BUILDTRACKER_SEND_RATE"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want %s in it", err, name)
		}
	}
}

func TestSendRate(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]float64{
		"": math.Inf(1), "0": math.Inf(1), "0.0": math.Inf(1), "10": 10, " 0.5 ": 0.5, "1e3": 1000,
		"-1": -1, "NaN": -1, "inf": -1, "1e999": -1, "10/s": -1,
	} {
		got, err := config.SendFlags{Rate: text}.Config()
		switch {
		case want < 0 && (err == nil || !strings.Contains(err.Error(), "BUILDTRACKER_SEND_RATE")):
			t.Errorf("rate %q: error %v, want one", text, err)
		case want >= 0 && (err != nil || got.Rate != want):
			t.Errorf("rate %q is %v, want %v (%v)", text, got.Rate, want, err)
		}
	}
}
