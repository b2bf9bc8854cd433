package buildtracker

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

var runSlackIntegrationTest = flag.Bool("RunSlackIntegrationTest", false,
	"run only the test that posts to a real Slack: SLACK_TOKEN, SLACK_CHANNEL (and SLACK_API_URL)")

// TestMain fails when goroutines are left over.
func TestMain(m *testing.M) {
	flag.Parse()
	if only := flag.Lookup("test.run"); *runSlackIntegrationTest && only.Value.String() == "" {
		if err := only.Value.Set("^TestSlackIntegration$"); err != nil {
			panic(err)
		}
	}
	// BigQuery's client keeps two: one for its figures, and one that sleeps 20 seconds
	// before it lets go of a connection that was cut.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"),
		goleak.IgnoreAnyFunction("cloud.google.com/go/bigquery/storage/managedwriter.(*connection).getStream.func1"))
}
