package testenv

import (
	"cmp"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (s *Slack) postMessage(form url.Values) slackAnswer {
	channel, known := s.channel(form.Get("channel"))
	if !known {
		return slackRefusal("channel_not_found")
	}
	m := &SlackMessage{Channel: channel}
	if a := s.write(m, form, maxMessageText); a != nil {
		return a
	}
	m.TS = s.timestamp(time.Now())
	s.messages = append(s.messages, m)
	return slackAnswer{"channel": m.Channel, "ts": m.TS, "message": slackAnswer{"text": m.Text}}
}

func (s *Slack) update(form url.Values) slackAnswer {
	if !s.isChannelID(form.Get("channel")) { // a name will not do
		return slackRefusal("channel_not_found")
	}
	m := s.find(form.Get("channel"), form.Get("ts"))
	if m == nil {
		return slackRefusal("message_not_found")
	}
	if a := s.write(m, form, maxUpdateText); a != nil {
		return a
	}
	m.Edits++
	return slackAnswer{"channel": m.Channel, "ts": m.TS, "text": m.Text}
}

func (s *Slack) delete(form url.Values) slackAnswer {
	if !s.isChannelID(form.Get("channel")) {
		return slackRefusal("channel_not_found")
	}
	if !s.remove(form.Get("channel"), form.Get("ts")) {
		return slackRefusal("message_not_found")
	}
	return slackAnswer{"channel": form.Get("channel"), "ts": form.Get("ts")}
}

// write makes m say what a form says, or refuses it and leaves m as it was.
func (s *Slack) write(m *SlackMessage, form url.Values, maxText int) slackAnswer {
	text, blocks := form.Get("text"), json.RawMessage(cmp.Or(form.Get("blocks"), "[]"))
	if a := checkBlocks(blocks); a != nil {
		return a
	}
	switch {
	case s.faults.noBlocks && string(blocks) != "[]":
		return invalidBlocks("no blocks today [json-pointer:/blocks]")
	case text == "" && string(blocks) == "[]":
		return slackRefusal("no_text")
	case slackLength(text) > maxText:
		return slackRefusal("msg_too_long")
	}
	if metadata := form.Get("metadata"); metadata != "" {
		var parsed SlackMetadata
		if json.Unmarshal([]byte(metadata), &parsed) != nil || parsed.EventType == "" {
			return slackRefusal("invalid_metadata_format")
		}
		m.Metadata = parsed
	}
	m.Text, m.Blocks = text, blocks
	m.Versions = append(m.Versions, SlackVersion{Time: time.Now(), Text: text, Blocks: blocks})
	return nil
}

func (s *Slack) find(channel, ts string) *SlackMessage {
	for _, m := range s.messages {
		if m.Channel == channel && m.TS == ts {
			return m
		}
	}
	return nil
}

func (s *Slack) remove(channel, ts string) bool {
	before := len(s.messages)
	s.messages = slices.DeleteFunc(s.messages, func(m *SlackMessage) bool { return m.Channel == channel && m.TS == ts })
	return len(s.messages) < before
}

// history pages through a channel, each page newest first. It begins with the
// newest, except as Slack does with oldest and without latest: there with the
// oldest.
func (s *Slack) history(form url.Values) slackAnswer {
	channel := form.Get("channel")
	if !s.isChannelID(channel) {
		return slackRefusal("channel_not_found")
	}
	limit, err := strconv.Atoi(cmp.Or(form.Get("limit"), "100"))
	if err != nil || limit < 1 || limit > 999 {
		return slackRefusal("invalid_limit")
	}
	oldest, latest, cursor := form.Get("oldest"), form.Get("latest"), form.Get("cursor")
	forward := oldest != "" && latest == ""
	var rest []*SlackMessage // in the order of paging
	for _, m := range s.messages {
		passed := cursor != "" && (forward && m.TS <= cursor || !forward && m.TS >= cursor)
		if m.Channel == channel && !passed && (oldest == "" || m.TS > oldest) && (latest == "" || m.TS < latest) {
			rest = append(rest, m)
		}
	}
	slices.SortFunc(rest, func(x, y *SlackMessage) int { return strings.Compare(x.TS, y.TS) })
	if !forward {
		slices.Reverse(rest)
	}
	page := rest[:min(limit, len(rest))]
	a := slackAnswer{"has_more": len(page) < len(rest)}
	if len(page) < len(rest) {
		a["response_metadata"] = slackAnswer{"next_cursor": page[len(page)-1].TS}
	}
	if page = slices.Clone(page); forward {
		slices.Reverse(page)
	}
	a["messages"] = s.shown(page, form.Get("include_all_metadata"))
	return a
}

func (s *Slack) shown(page []*SlackMessage, metadata string) []slackAnswer {
	may := slices.Contains(s.o.Scopes, "metadata.message:read") && (metadata == "1" || metadata == "true")
	out := []slackAnswer{}
	for _, m := range page {
		shown := slackAnswer{"type": "message", "ts": m.TS, "text": m.Text, "blocks": m.Blocks, "bot_id": "B0TRACKER1"}
		if may && m.Metadata.EventType != "" {
			shown["metadata"] = m.Metadata
		}
		out = append(out, shown)
	}
	return out
}
