package testenv_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/slack-go/slack"

	"github.com/build-tracker/build-tracker/internal/testenv"
)

func slackClient(s *testenv.Slack) *slack.Client {
	return slack.New(s.Token(), slack.OptionAPIURL(s.URL()))
}

func section(text string) slack.Block {
	return slack.NewSectionBlock(slack.NewTextBlockObject("mrkdwn", text, false, false), nil, nil)
}

func headerOf(text string) slack.Block {
	return slack.NewHeaderBlock(slack.NewTextBlockObject("plain_text", text, true, false))
}

func buttonTo(text, url string) slack.Block {
	return slack.NewActionBlock("", slack.NewButtonBlockElement("a", "", slack.NewTextBlockObject("plain_text", text, false, false)).WithURL(url))
}

func TestSlackHoldsMessagesToTheLimits(t *testing.T) {
	t.Parallel()
	api := slackClient(testenv.NewSlack(t, testenv.SlackOptions{}))
	for _, c := range []struct {
		name   string
		blocks []slack.Block
		want   string // an error, or empty
	}{
		{"header as long as allowed", []slack.Block{headerOf(strings.Repeat("x", 150))}, ""},
		{"header too long", []slack.Block{headerOf(strings.Repeat("x", 151))}, "invalid_blocks"},
		{"section as long as allowed", []slack.Block{section(strings.Repeat("x", 3000))}, ""},
		{"section too long", []slack.Block{section(strings.Repeat("x", 3001))}, "invalid_blocks"},
		{"section empty", []slack.Block{section("")}, "invalid_blocks"},
		{"button text too long", []slack.Block{buttonTo(strings.Repeat("x", 76), "https://x.test")}, "invalid_blocks"},
		{"button URL too long", []slack.Block{buttonTo("x", "https://x.test/"+strings.Repeat("x", 3000))}, "invalid_blocks"},
		{"button to nowhere", []slack.Block{buttonTo("x", "javascript:alert(1)")}, "invalid_blocks"},
		{"too many blocks", sections(51, "x"), "invalid_blocks"},
		{"too long in all", sections(5, strings.Repeat("x", 2700)), "msg_blocks_too_long"},
	} {
		_, _, err := api.PostMessage("builds", slack.MsgOptionText("x", false), slack.MsgOptionBlocks(c.blocks...))
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: error %q, want %q", c.name, got, c.want)
		}
	}
}

func sections(n int, text string) (out []slack.Block) {
	for range n {
		out = append(out, section(text))
	}
	return out
}

func TestSlackNeedsTheChannelsIDToEdit(t *testing.T) {
	t.Parallel()
	s := testenv.NewSlack(t, testenv.SlackOptions{})
	api := slackClient(s)
	id, ts, err := api.PostMessage("#builds", slack.MsgOptionText("one", false))
	if err != nil || id != "C0BUILDS01" {
		t.Fatal(id, err)
	}
	for _, c := range []struct{ channel, ts, want string }{
		{"builds", ts, "channel_not_found"}, {id, "1.000000", "message_not_found"}, {id, ts, ""},
	} {
		_, _, _, err := api.UpdateMessage(c.channel, c.ts, slack.MsgOptionText("two", false))
		if got := fmt.Sprint(err); err != nil && got != c.want || err == nil && c.want != "" {
			t.Errorf("update in %s at %s: %v, want %q", c.channel, c.ts, err, c.want)
		}
	}
	s.WaitFor(t, func(m []testenv.SlackMessage) bool { return m[0].Text == "two" && m[0].Edits == 1 })
}

func TestSlackLimitsTheRate(t *testing.T) {
	t.Parallel()
	s := testenv.NewSlack(t, testenv.SlackOptions{Burst: 2, Interval: time.Hour})
	api := slackClient(s)
	for i := range 3 {
		_, _, err := api.PostMessage("builds", slack.MsgOptionText("x", false))
		limited, is := errors.AsType[*slack.RateLimitedError](err)
		if is != (i == 2) {
			t.Errorf("post %d: %v", i, err)
		}
		if is && (limited.RetryAfter > time.Hour || limited.RetryAfter < 59*time.Minute) {
			t.Errorf("retry after %v", limited.RetryAfter)
		}
	}
}

func TestSlackLosesAnswersAfterItTookTheMessage(t *testing.T) {
	t.Parallel()
	s := testenv.NewSlack(t, testenv.SlackOptions{})
	s.LoseAnswers(1)
	if _, _, err := slackClient(s).PostMessage("builds", slack.MsgOptionText("x", false)); err == nil {
		t.Error("an answer came")
	}
	if n := len(s.Messages()); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

func TestSlackPagesThroughAChannelFromTheNewest(t *testing.T) {
	t.Parallel()
	s := testenv.NewSlack(t, testenv.SlackOptions{})
	api := slackClient(s)
	var first string
	for i := range 5 {
		_, ts, err := api.PostMessage("builds", slack.MsgOptionText(fmt.Sprint(i), false),
			slack.MsgOptionMetadata(slack.SlackMetadata{EventType: "e", EventPayload: map[string]any{"i": fmt.Sprint(i)}}))
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = ts
		}
	}
	read := func(p slack.GetConversationHistoryParameters) (got []string) {
		p.ChannelID, p.Limit, p.IncludeAllMetadata = "C0BUILDS01", 2, true
		for {
			page, err := api.GetConversationHistory(&p)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range page.Messages {
				got = append(got, fmt.Sprint(m.Metadata.EventPayload["i"]))
			}
			if p.Cursor = page.ResponseMetaData.NextCursor; p.Cursor == "" {
				return got
			}
		}
	}
	if diff := cmp.Diff([]string{"4", "3", "2", "1", "0"}, read(slack.GetConversationHistoryParameters{})); diff != "" {
		t.Errorf("from the newest (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"2", "1", "4", "3"}, read(slack.GetConversationHistoryParameters{Oldest: first})); diff != "" {
		t.Errorf("with oldest alone (-want +got):\n%s", diff)
	}
}

func TestSlackRefusesAnotherToken(t *testing.T) {
	t.Parallel()
	s := testenv.NewSlack(t, testenv.SlackOptions{Token: "right"})
	if _, err := slack.New("wrong", slack.OptionAPIURL(s.URL())).AuthTest(); err == nil || err.Error() != "invalid_auth" {
		t.Errorf("error %v, want invalid_auth", err)
	}
	answer, err := slackClient(s).AuthTest()
	if err != nil || answer.Header.Get("X-OAuth-Scopes") != strings.Join(testenv.SlackScopes(), ",") {
		t.Errorf("%+v, %v", answer, err)
	}
}
