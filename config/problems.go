package config

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// problems collects what is wrong. Its methods return what the text means, and
// something usable when it means nothing, so that the checks can go on.
type problems struct {
	found []error
	// layers tell where the values come from; nil: not from a file.
	layers *layers
}

// add takes a sentence that begins with the name of a variable.
func (p *problems) add(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	if p.layers != nil {
		switch at := p.layers.locate(err); {
		case at != nil:
			err = at
		case p.layers.refused:
			return // it may follow from what the file failed to say
		}
	}
	p.found = append(p.found, err)
}

// err returns one error with a problem a line, or nil.
func (p *problems) err() error { return errors.Join(inOrder(p.found)...) }

func (p *problems) boolean(name string, text Bool) bool {
	switch strings.ToLower(strings.TrimSpace(string(text))) {
	case "1", "true", "yes":
		return true
	case "", "0", "false", "no":
	default:
		p.add("%s is %q: write true or false", name, string(text))
	}
	return false
}

func (p *problems) choice(name, text, fallback string, choices ...string) string {
	text = cmp.Or(strings.ToLower(strings.TrimSpace(text)), fallback)
	if !slices.Contains(choices, text) {
		last := len(choices) - 1
		p.add("%s is %q: write %s or %s", name, text, strings.Join(choices[:last], ", "), choices[last])
	}
	return text
}

func (p *problems) duration(name, text, fallback string) time.Duration {
	text = cmp.Or(strings.TrimSpace(text), fallback)
	d, err := parseDuration(text)
	switch {
	case err != nil:
		p.add("%s is %q, which is no duration: write for example 90m, 24h or 7d", name, text)
	case d <= 0:
		p.add("%s is %q: write a duration above 0, for example 24h", name, text)
	}
	return d
}

func (p *problems) addr(name, text string) {
	_, port, err := net.SplitHostPort(text)
	if err != nil || !isPort(port) {
		p.add("%s is %q, which is no address: write HOST:PORT, for example 127.0.0.1:8080", name, text)
	}
}

func isPort(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return err == nil
}

func (p *problems) log(c *Config, f LogFlags) {
	level := p.choice("LOG_LEVEL", f.LogLevel, defaultLogLevel, "debug", "info", "warn", "error")
	// The choices are slog's own names; another one was reported above.
	_ = c.Log.Level.UnmarshalText([]byte(level))
	c.Log.Format = LogFormat(p.choice("LOG_FORMAT", f.LogFormat, defaultLogFormat,
		string(LogAuto), string(LogJSON), string(LogText)))
}

func (p *problems) notices(c *Config, f NoticeFlags) {
	c.Notices = p.choice("NOTICES", f.Notices, defaultNotices, "on", "off") == "on"
	c.NoticeMaxAge = p.duration("NOTICE_MAX_AGE", string(f.NoticeMaxAge), defaultNoticeMaxAge)
}

func (p *problems) stores(c *Config, f StoreFlags) {
	c.DataDir = cmp.Or(strings.TrimSpace(f.DataDir), defaultDataDir)
	c.DatabaseURL = p.secret("DATABASE_URL", f.DatabaseURL, f.DatabaseURLFile)
	p.postgresURL("DATABASE_URL", c.DatabaseURL)
	c.RedisURL = p.secret("REDIS_URL", f.RedisURL, f.RedisURLFile)
	p.redisURL(c.RedisURL)
	c.BuildTTL = p.duration("BUILD_TTL", string(f.BuildTTL), defaultBuildTTL)
}
