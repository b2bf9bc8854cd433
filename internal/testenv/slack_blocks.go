package testenv

import (
	"encoding/json"
	"fmt"
	"net/url"
	"unicode/utf16"
)

// Slack's limits, in characters.
// https://docs.slack.dev/reference/block-kit/blocks,
// https://docs.slack.dev/reference/methods/chat.postMessage
const (
	maxBlocks       = 50
	maxHeaderText   = 150
	maxSectionText  = 3000
	maxSectionField = 2000
	maxFields       = 10
	maxButtonText   = 75
	maxButtonURL    = 3000
	maxElements     = 25
	maxAllText      = 13000
	maxMessageText  = 40000
	maxUpdateText   = 4000
)

type slackText struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

type slackBlock struct {
	Type     string         `json:"type"`
	Text     *slackText     `json:"text"`
	Fields   []slackText    `json:"fields"`
	Elements []slackElement `json:"elements"`
}

type slackElement struct {
	Type     string     `json:"type"`
	Text     *slackText `json:"text"`
	ActionID string     `json:"action_id"`
	URL      string     `json:"url"`
}

// checkBlocks returns nil for blocks within the limits, else the refusal.
func checkBlocks(raw json.RawMessage) slackAnswer {
	var blocks []slackBlock
	if json.Unmarshal(raw, &blocks) != nil {
		return slackRefusal("invalid_blocks_format")
	}
	c := &blockCheck{}
	if len(blocks) > maxBlocks {
		c.complain("/blocks", "no more than %d items allowed", maxBlocks)
	}
	for i, b := range blocks {
		c.block(fmt.Sprintf("/blocks/%d", i), b)
	}
	switch {
	case len(c.wrong) > 0:
		return invalidBlocks(c.wrong...)
	case c.total > maxAllText:
		return slackRefusal("msg_blocks_too_long")
	}
	return nil
}

func invalidBlocks(messages ...string) slackAnswer {
	a := slackRefusal("invalid_blocks")
	a["errors"] = messages
	a["response_metadata"] = slackAnswer{"messages": messages}
	return a
}

type blockCheck struct {
	wrong []string
	total int
}

func (c *blockCheck) complain(at, format string, args ...any) {
	c.wrong = append(c.wrong, "[ERROR] "+fmt.Sprintf(format, args...)+" [json-pointer:"+at+"]")
}

func (c *blockCheck) block(at string, b slackBlock) {
	switch b.Type {
	case "header":
		c.text(at+"/text", b.Text, maxHeaderText, "plain_text")
	case "section":
		if b.Text == nil && len(b.Fields) == 0 {
			c.complain(at, "must have text or fields")
		}
		if b.Text != nil {
			c.text(at+"/text", b.Text, maxSectionText, "plain_text", "mrkdwn")
		}
		if len(b.Fields) > maxFields {
			c.complain(at+"/fields", "no more than %d items allowed", maxFields)
		}
		for i := range b.Fields {
			c.text(fmt.Sprintf("%s/fields/%d", at, i), &b.Fields[i], maxSectionField, "plain_text", "mrkdwn")
		}
	case "actions":
		c.actions(at, b.Elements)
	case "divider":
	default:
		c.complain(at, "unsupported type: %s", b.Type)
	}
}

func (c *blockCheck) actions(at string, elements []slackElement) {
	if len(elements) == 0 || len(elements) > maxElements {
		c.complain(at+"/elements", "must have 1 to %d items", maxElements)
	}
	seen := make(map[string]bool)
	for i, e := range elements {
		at := fmt.Sprintf("%s/elements/%d", at, i)
		if e.Type != "button" {
			c.complain(at, "unsupported type: %s", e.Type)
			continue
		}
		c.text(at+"/text", e.Text, maxButtonText, "plain_text")
		if e.URL != "" {
			u, err := url.Parse(e.URL)
			if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || slackLength(e.URL) > maxButtonURL {
				c.complain(at+"/url", "invalid url")
			}
		}
		if e.ActionID != "" && seen[e.ActionID] {
			c.complain(at+"/action_id", "not unique")
		}
		seen[e.ActionID] = true
	}
}

func (c *blockCheck) text(at string, t *slackText, limit int, types ...string) {
	if t == nil {
		c.complain(at, "missing required field")
		return
	}
	n := slackLength(t.Text)
	c.total += n
	if n < 1 {
		c.complain(at, "must be more than 0 characters")
	}
	if n > limit {
		c.complain(at, "must be less than %d characters", limit+1)
	}
	for _, typ := range types {
		if t.Type == typ {
			return
		}
	}
	c.complain(at, "unsupported type: %s", t.Type)
}

// slackLength counts at its strictest: UTF-16 units.
func slackLength(s string) int {
	n := 0
	for _, r := range s {
		n += max(1, utf16.RuneLen(r))
	}
	return n
}
