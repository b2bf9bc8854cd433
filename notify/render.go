package notify

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"

	"github.com/slack-go/slack"

	"github.com/build-tracker/build-tracker/build"
)

// The budgets of the parts, in characters as sent. Together they stay within
// Slack's limits: 3000 for the text of a section, 2000 for a field, about
// 13,000 for a whole message.
// https://docs.slack.dev/reference/block-kit/blocks
const (
	maxCommitLine = 300
	maxJobName    = 250
	maxField      = 300
	maxInlineURL  = 300
	maxShown      = 5
	maxShortName  = 80
	maxShortShown = 3
)

// RenderOptions is what a message depends on besides the build.
type RenderOptions struct {
	// Mention is the Slack user id of the commit's author; empty when unknown.
	Mention string
	// ExternalURL is how people reach this server's page; empty for no button.
	ExternalURL string
	Level       Level
}

// Render returns the message that says how the build stands. It is within
// Slack's limits whatever the build holds.
func Render(b *build.Build, opts RenderOptions) Message {
	m := Message{Level: opts.Level, Text: header(b), Address: fmt.Sprintf("%s/%s/%d", b.Organization, b.Pipeline, b.Number)}
	switch opts.Level {
	case Full:
		m.Blocks = full(b, opts)
	case Short:
		m.Blocks = short(b, opts)
	default:
		m.Level, m.Text = Plain, plain(b)
	}
	return m
}

func full(b *build.Build, opts RenderOptions) []slack.Block {
	blocks := []slack.Block{headerBlock(b)}
	blocks = appendSection(blocks, commitLine(b))
	counted, aside := split(b.FailedSteps())
	blocks = appendSection(blocks, jobList("*Failed jobs:*", counted))
	blocks = appendSection(blocks, jobList("*Failed as well, not counted:*", aside))
	blocks = appendSection(blocks, jobList("*Fixed jobs:*", b.FixedSteps()))
	if fields := fields(b, opts.Mention); len(fields) > 0 {
		blocks = append(blocks, slack.NewSectionBlock(nil, fields, nil))
	}
	return appendButtons(blocks, b, opts.ExternalURL)
}

// short leaves out links and what is long, so that nothing of it can be refused
// for its length.
func short(b *build.Build, opts RenderOptions) []slack.Block {
	blocks := appendSection([]slack.Block{headerBlock(b)}, strings.Join(summary(b), "\n"))
	return appendButtons(blocks, b, opts.ExternalURL)
}

func plain(b *build.Build) string {
	lines := append([]string{header(b)}, summary(b)...)
	if l := link(webURL(b.WebURL), "Go to build"); l != "" {
		lines = append(lines, l)
	}
	return strings.Join(lines, "\n")
}

// summary says in a few short lines what the build is about.
func summary(b *build.Build) []string {
	var lines []string
	if name := pipelineName(b, maxShortName); name != "" {
		lines = append(lines, "*Pipeline:* "+name)
	}
	if line := inline(firstLine(b.Message.V), maxShortName); line != "" {
		lines = append(lines, line)
	}
	failed, _ := split(b.FailedSteps())
	if names := shortNames(failed); names != "" {
		lines = append(lines, "*Failed jobs:* "+names)
	}
	return lines
}

func headerBlock(b *build.Build) slack.Block {
	return slack.NewHeaderBlock(slack.NewTextBlockObject(slack.PlainTextType, header(b), true, false))
}

// appendSection appends text as a section. It is verbatim: Slack makes no links
// and no mentions of its own from what a payload says.
func appendSection(blocks []slack.Block, text string) []slack.Block {
	if text == "" {
		return blocks
	}
	return append(blocks, slack.NewSectionBlock(markdown(text), nil, nil))
}

func markdown(text string) *slack.TextBlockObject {
	return slack.NewTextBlockObject(slack.MarkdownType, text, false, true)
}

func fields(b *build.Build, mention string) []*slack.TextBlockObject {
	var out []*slack.TextBlockObject
	if author := author(b, mention); author != "" {
		out = append(out, markdown("*Author:* "+author))
	}
	if name := pipelineName(b, maxField); name != "" {
		out = append(out, markdown("*Pipeline:* "+name))
	}
	return out
}

var userID = regexp.MustCompile(`^[UW][A-Z0-9]{1,30}$`)

func author(b *build.Build, mention string) string {
	if userID.MatchString(mention) {
		return "<@" + mention + ">"
	}
	if name := inline(b.AuthorName.V, maxField); name != "" {
		return name
	}
	return inline(b.AuthorEmail.V, maxField)
}

func pipelineName(b *build.Build, limit int) string {
	if name := inline(b.PipelineName.V, limit); name != "" {
		return name
	}
	return inline(b.Pipeline, limit)
}

func commitLine(b *build.Build) string {
	url := build.PagesOf(b.Repository.V).Commit(b.Commit.V)
	line := inline(firstLine(b.Message.V), maxCommitLine)
	if line == "" && url != "" {
		line = b.Commit.V[:7]
	}
	return cmp.Or(link(url, line), line)
}

// firstLine returns the first line that says something.
func firstLine(message string) string {
	for line := range strings.Lines(message) {
		if oneLine(line, 1) != "" {
			return line
		}
	}
	return ""
}

func appendButtons(blocks []slack.Block, b *build.Build, externalURL string) []slack.Block {
	var buttons []slack.BlockElement
	if url := webURL(b.WebURL); url != "" {
		buttons = append(buttons, button("go_to_build", "Go to build", url))
	}
	if url := webURL(externalURL); url != "" {
		buttons = append(buttons, button("build_tracker", "Build tracker", url))
	}
	if len(buttons) == 0 {
		return blocks
	}
	return append(blocks, slack.NewActionBlock("", buttons...))
}

func button(id, text, url string) *slack.ButtonBlockElement {
	label := slack.NewTextBlockObject(slack.PlainTextType, text, false, false)
	return slack.NewButtonBlockElement(id, "", label).WithURL(url)
}
