package config_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/config"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares a text with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// write returns the path of a configuration file with this text.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tracker.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// fromFile returns flags that name a file, and nothing else.
func fromFile(path string) (f config.ServeFlags) {
	f.ConfigFile = path
	return f
}

// read returns what a file with this text makes of the configuration, without
// the file itself.
func read(t *testing.T, text string) (*config.Config, error) {
	t.Helper()
	path := write(t, text)
	c, err := fromFile(path).Config()
	if err != nil {
		return nil, errorWithout(filepath.Dir(path)+"/", err)
	}
	if c.File.Path != path {
		t.Errorf("the file is %s, want %s", c.File.Path, path)
	}
	c.File = config.File{}
	return c, nil
}

// errorWithout takes a folder's name out of an error.
func errorWithout(dir string, err error) error {
	return sentence(strings.ReplaceAll(err.Error(), dir, ""))
}

type sentence string

func (s sentence) Error() string { return string(s) }

func TestFileHoldsSettingsTeamsAndRetention(t *testing.T) {
	t.Parallel()
	got, err := fromFile("testdata/full.yaml").Config()
	if err != nil {
		t.Fatal(err)
	}
	want := defaults()
	want.ListenAddr, want.ExternalURL, want.SlackChannel = "127.0.0.1:9000", "https://builds.example.com", "#builds"
	want.Notices, want.NoticeMaxAge, want.BuildTTL = false, 36*time.Hour, 90*time.Minute
	want.Log.Format = config.LogJSON
	want.Live.Teams = []config.Team{
		{Name: "Web", Pipelines: []string{"acme/web", "acme/mobile-*"}, Retention: config.TeamRetention{Events: 30 * day}},
		{Name: "Größe & Co", Pipelines: []string{"*/data-*-eu"}},
	}
	want.Live.Retention.Events, want.Live.Retention.Deliveries = 84*day, 36*time.Hour
	want.Live.EnvKeep = []string{"RELEASE_PUBLIC", "CHANNEL"}
	digest, err := config.ReadDigest("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want.File = config.File{Path: "testdata/full.yaml", Digest: digest}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
}

// TestFileIsReadAsItIsWritten has what YAML's versions disagree on.
func TestFileIsReadAsItIsWritten(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		text string
		want func(*config.Config)
	}{
		"nothing":               {"", func(*config.Config) {}},
		"comments":              {"# nothing\n\n", func(*config.Config) {}},
		"a document of nothing": {"---\n", func(*config.Config) {}},
		"a byte order mark and lines of Windows": {"\uFEFFlog_format: json\r\nnotices: off\r\n", func(c *config.Config) {
			c.Log.Format, c.Notices = config.LogJSON, false
		}},
		"keys without values": {"slack_channel:\nteams:\nretention:\nenv_keep: ~\nbuild_ttl: null\n", func(*config.Config) {}},
		"off":                 {"notices: off", func(c *config.Config) { c.Notices = false }},
		"off in quotes":       {"notices: 'off'", func(c *config.Config) { c.Notices = false }},
		"On":                  {"notices: On", func(*config.Config) {}},
		"yes":                 {"slack_debug: yes", func(c *config.Config) { c.SlackDebug = true }},
		"true":                {"slack_debug: true", func(c *config.Config) { c.SlackDebug = true }},
		"a port":              {"port: 9000", func(c *config.Config) { c.ListenAddr = ":9000" }},
		"a number of base 60": {"slack_channel: 12:30:45", func(c *config.Config) { c.SlackChannel = "12:30:45" }},
		"a secret of digits":  {"debug_password: 0123", func(c *config.Config) { c.DebugPassword = "0123" }},
		"a secret like a number": {"api_tokens: 1e3", func(c *config.Config) {
			c.APITokens = config.Secrets{"1e3"}
		}},
		"a date":   {"slack_channel: 2024-01-01", func(c *config.Config) { c.SlackChannel = "2024-01-01" }},
		"a block":  {"debug_password: |\n  hush\n", func(c *config.Config) { c.DebugPassword = "hush" }},
		"escapes":  {`slack_channel: "\u0023a\x62"`, func(c *config.Config) { c.SlackChannel = "#ab" }},
		"no names": {"env_keep: []", func(c *config.Config) { c.Live.EnvKeep = []string{} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := defaults()
			tc.want(want)
			got, err := read(t, tc.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("configuration (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFileSaysAllThatIsWrong(t *testing.T) {
	t.Parallel()
	_, err := fromFile("testdata/wrong.yaml").Config()
	if err == nil {
		t.Fatal("no error")
	}
	golden(t, "wrong.errors", err.Error()+"\n")
}

func TestFileRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ text, want string }{
		"a list":                              {"- a\n", "1:1: the configuration is a list: write a mapping"},
		"a word":                              {"hush", "1:1: the configuration is a single value: write a mapping"},
		"a second document":                   {"notices: off\n---\nnotices: on\n", "2:1: a second document begins here"},
		"a document that follows":             {"notices: off\n...\nnotices: on\n", "3:1: a second document begins here"},
		"a tab":                               {"teams:\n\t- name: web\n", "2:1: this line is indented with a tab: use spaces"},
		"a tab before a key":                  {"\tnotices: off\n", "1:8: this line is indented with a tab: use spaces"},
		"an alias":                            {"notices: &x off\nlog_level: *x\n", "1:10: anchors (&) are not taken: write the value where it is needed, and quote one that begins with &\n2:12: aliases (*)"},
		"a pattern like an alias":             {"teams:\n- {name: a, pipelines: [*/web]}\n", "2:25: aliases (*) are not taken: quote a value that begins with *, such as \"*/web\""},
		"a merge key":                         {"<<: {notices: off}\n", "1:1: merge keys (<<) are not taken"},
		"a tag":                               {"port: !!str 80\n", "1:7: tags (!) are not taken"},
		"a directive":                         {"%YAML 1.1\n---\nport: 80\n", "1:1: directives (%) are not taken"},
		"a long key":                          {"? port\n: 80\n", "1:1: ? is not taken"},
		"an open bracket":                     {"env_keep: [A\n", "1:11: this is not YAML: sequence end token ']' not found"},
		"an open quote":                       {"slack_token: \"hush\n", "1:14: this is not YAML: could not find end character of double-quoted text"},
		"two colons":                          {"slack_token: hush: hush\n", "1:14: this is not YAML: mapping value is not allowed in this context"},
		"a secret after a >":                  {"slack_token: >hush\n", "1:14: this is not YAML: invalid header option"},
		"a control character":                 {"slack_token: \"hush\x01\"\n", `1:19: '\x01' is a control character: remove it`},
		"Latin-1":                             {"slack_channel: gr\xf6\xdfe\n", "1:18: this byte is no UTF-8"},
		"what is nested":                      {strings.Repeat("[", 100), "1:9: brackets are nested deeper than 8"},
		"what is nested in lines":             {strings.Repeat("- ", 21_000), "1:40001: there are too many entries up to here"},
		"too much":                            {strings.Repeat("a: b\n", 7000), "6667:4: there are too many entries up to here"},
		"a key of two lines":                  {"{a: b}: c", "1:7: this is not YAML"},
		"a wrong value":                       {"\nbuild_ttl:   soon\n", `2:14: build_ttl is "soon", which is no duration`},
		"a wrong value of another":            {"slack_token: hush\nslack_debug: maybe\n", "2:14: slack_debug is \"maybe\": write true or false\nSLACK_CHANNEL is not set, but SLACK_TOKEN is"},
		"a wrong value beside an unknown key": {"wings: 2\nslack_token: hush\nbuild_ttl: soon\n", "1:1: the configuration has no \"wings\": remove it, or see `build-tracker serve --help`, whose flags it takes with _ for -\n3:12: build_ttl is \"soon\""},
		"a secret and its file":               {"debug_password: hush\ndebug_password_file: /hush\n", "1:17: debug_password and BUILDTRACKER_DEBUG_PASSWORD_FILE are both set"},
		"a file that is not there":            {"debug_password_file: missing\n", "1:22: debug_password_file cannot be read: open missing:"},
		"a mask":                              {"database_url: \"***\"\n", "1:15: database_url is masked: write the secret itself, or name a file"},
		"an empty token":                      {"api_tokens: hush,,hush\n", "1:13: api_tokens has an empty entry, number 2"},
		"events beyond their builds":          {"retention:\n  events: 500d\n", "2:11: retention.events is 500d, but builds are kept for 400d"},
		"builds below their events":           {"retention:\n  builds: 30d\n", "2:11: retention.builds is 30d, but events are kept for 90d"},
		"events of a team beyond":             {"teams:\n- {name: a, pipelines: [a/b], retention: {events: 401d}}\n", "2:51: teams[0].retention.events is 401d, but builds are kept for 400d"},
		"a team behind another's star": {
			"teams:\n- {name: a, pipelines: [acme/*]}\n- {name: b, pipelines: [acme/web-*]}\n",
			"3:25: acme/web-* never gets its turn: line 2 has acme/* for a team before",
		},
		"a pattern twice":  {"teams:\n- {name: a, pipelines: [acme/w, acme/w]}\n", "2:33: acme/w stands here again, line 2 has it first"},
		"too many names":   {"env_keep: [" + strings.Repeat("A,", 101) + "]", "1:11: env_keep has 101 entries: the most are 100"},
		"a very long name": {"teams:\n- {name: " + strings.Repeat("a", 101) + ", pipelines: [a/b]}\n", "2:10: the team's name is longer than 100 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := read(t, tc.text)
			if err == nil {
				t.Fatal("no error")
			}
			got := strings.ReplaceAll(err.Error(), "tracker.yaml:", "")
			if !strings.HasPrefix(got, tc.want) || strings.Contains(got, "hush") && !strings.Contains(tc.want, "hush") {
				t.Errorf("error %q, want one that begins with %q", got, tc.want)
			}
			if lines := strings.Count(got, "\n"); lines != strings.Count(tc.want, "\n") {
				t.Errorf("%d lines more than wanted: %q", lines, got)
			}
		})
	}
}

func TestFileTellsNoMoreProblemsThanAnyoneReads(t *testing.T) {
	t.Parallel()
	_, err := read(t, strings.Repeat("wings: 2\n", 500))
	if err == nil {
		t.Fatal("no error")
	}
	lines := config.Problems(err)
	if len(lines) != 51 || lines[50] != "tracker.yaml:51:1: 450 more problems begin here: mend those above first" {
		t.Errorf("%d lines, the last %q", len(lines), lines[len(lines)-1])
	}
}

func TestFileThatCannotBeRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "large"), make([]byte, 1<<20+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"missing": "stat missing: no such file",
		"large":   "large is larger than 1048576 bytes",
		"pipe":    "pipe is not a file",
		".":       "is not a file",
	} {
		_, err := fromFile(filepath.Join(dir, name)).Config()
		if err == nil {
			t.Fatalf("%s: no error", name)
		}
		if got := errorWithout(dir+"/", err).Error(); !strings.HasPrefix(got, "the configuration file cannot be read: ") || !strings.Contains(got, want) {
			t.Errorf("%s: error %q, want %q", name, got, want)
		}
	}
}
