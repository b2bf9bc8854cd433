package buildtracker

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/build-tracker/build-tracker/internal/testenv"
	"github.com/build-tracker/build-tracker/notify"
)

// TestSlackIntegration posts, edits and fixes real messages.
func TestSlackIntegration(t *testing.T) {
	if !*runSlackIntegrationTest {
		t.Skip("it posts to a real Slack: go test . -RunSlackIntegrationTest")
	}
	token, channel := os.Getenv("SLACK_TOKEN"), os.Getenv("SLACK_CHANNEL")
	if token == "" || channel == "" {
		t.Skip("SLACK_TOKEN and SLACK_CHANNEL say which Slack to post to; they are not set")
	}
	talkToSlack(t, notify.NewSlack(notify.SlackOptions{Token: token, Channel: channel, APIURL: os.Getenv("SLACK_API_URL")}))
}

// The same works here, against a stand-in, so that it is known to work there.
func TestSlackIntegrationAgainstStandIn(t *testing.T) {
	t.Parallel()
	slack := testenv.NewSlack(t, testenv.SlackOptions{})
	talkToSlack(t, notify.NewSlack(notify.SlackOptions{Token: slack.Token(), Channel: "C0BUILDS01", APIURL: slack.URL()}))
	messages := slack.Messages()
	if len(messages) != 2 {
		t.Fatalf("%d messages, want 2", len(messages))
	}
	if first := messages[0]; !strings.Contains(first.Text, "fixed") || first.Edits < 2 {
		t.Errorf("the first message says %q after %d edits", first.Text, first.Edits)
	}
}

// talkToSlack has a build fail, more of it fail, and a retry fix it, while the
// next build fails, too.
func talkToSlack(t *testing.T, slack *notify.Slack) {
	t.Helper()
	if err := slack.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := newRigWith(t, embeddedStores(t), slack)
	defer r.close()
	one, two := tell("integration-test", 41), tell("integration-test", 42)
	for _, b := range []*told{one, two} { // a new build for each run
		b.fields["id"] = fmt.Sprintf("%s-%d", b.id(), time.Now().UnixNano())
		b.fields["message"] = "Try <b>escaping</b> & *formatting*\n\nPosted by an integration test."
		b.fields["author"] = map[string]any{"name": "Integration Test", "email": os.Getenv("SLACK_TEST_EMAIL")}
	}
	say := func(what string) {
		t.Helper()
		r.fold()
		r.speak()
		found, err := r.db.Notices(t.Context(), []string{one.id(), two.id()})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range found {
			if n.LastError != "" || n.TS == "" {
				t.Fatalf("after %s: %+v", what, n)
			}
			t.Logf("after %s: %s in %s", what, n.TS, n.Channel)
		}
	}
	r.append(one.job("lint", "failed"), one.finished("failed", 9))
	say("a failure")
	r.append(one.job("test", "failed"))
	say("another failed job")
	r.append(two.job("lint", "failed"), two.finished("failed", 8))
	say("a second failure")
	r.append(one.finished("passed", 1))
	say("a fix")
}
