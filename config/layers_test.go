package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/config"
)

// What follows sets variables, so nothing of it is parallel.

// TestFlagWinsOverVariableOverFileOverDefault has each level beside all those
// below it.
func TestFlagWinsOverVariableOverFileOverDefault(t *testing.T) {
	for _, setting := range []struct {
		flag, env                    string
		byFlag, byEnv, byFile, unset string
		of                           func(*config.Config) string
	}{
		{"build-ttl", "BUILD_TTL", "1h", "2h", "3h", "24h0m0s", func(c *config.Config) string { return c.BuildTTL.String() }},
		{"slack-channel", "SLACK_CHANNEL", "C1", "C2", "C3", "", func(c *config.Config) string { return c.SlackChannel }},
		{"production", "BUILDTRACKER_PRODUCTION", "no", "false", "0", "false", func(c *config.Config) string { return fmt.Sprint(c.Production) }},
		{"slack-debug", "BUILD_TRACKER_SLACK_DEBUG", "true", "1", "yes", "false", func(c *config.Config) string { return fmt.Sprint(c.SlackDebug) }},
		{"debug-password", "BUILDTRACKER_DEBUG_PASSWORD", "p1", "p2", "p3", "", func(c *config.Config) string { return c.DebugPassword.Value() }},
		{"notices", "NOTICES", "off", "off", "off", "true", func(c *config.Config) string { return fmt.Sprint(c.Notices) }},
		{"log-level", "LOG_LEVEL", "warn", "error", "debug", "INFO", func(c *config.Config) string { return c.Log.Level.String() }},
	} {
		for levels := range 8 {
			inFile, inEnv, inFlag := levels&1 != 0, levels&2 != 0, levels&4 != 0
			t.Run(fmt.Sprintf("%s file=%v env=%v flag=%v", setting.flag, inFile, inEnv, inFlag), func(t *testing.T) {
				text, args, given := "", []string{}, ""
				if inFile {
					text, given = strings.ReplaceAll(setting.flag, "-", "_")+": "+setting.byFile, setting.byFile
				}
				t.Setenv(setting.env, " ") // blank counts as not set
				if inEnv {
					t.Setenv(setting.env, setting.byEnv)
					given = setting.byEnv
				}
				if inFlag {
					args, given = append(args, "--"+setting.flag+"="+setting.byFlag), setting.byFlag
				}
				got, err := parse(t, append(args, "--config="+write(t, text))...).Config()
				if err != nil {
					t.Fatal(err)
				}
				want := setting.unset
				if given != "" {
					only, err := parse(t, "--"+setting.flag+"="+given).Config()
					if err != nil {
						t.Fatal(err)
					}
					want = setting.of(only)
				}
				if setting.of(got) != want {
					t.Errorf("it is %q, want %q", setting.of(got), want)
				}
			})
		}
	}
}

func TestHighestLevelOfTwoWaysToSayOneThingCounts(t *testing.T) {
	hook, other := write(t, "from-a-file"), write(t, "from-another")
	for name, tc := range map[string]struct {
		file string
		env  map[string]string
		args []string
		want func(*config.Config)
	}{
		"a port of the environment over an address of the file": {
			"listen_addr: 127.0.0.1:1",
			map[string]string{"PORT": "2"},
			nil,
			func(c *config.Config) { c.ListenAddr = ":2" },
		},
		"an address of the environment over a port of the file": {
			"port: 1",
			map[string]string{"LISTEN_ADDR": "127.0.0.1:2"},
			nil,
			func(c *config.Config) { c.ListenAddr = "127.0.0.1:2" },
		},
		"a port as a flag over an address of the environment": {
			"listen_addr: 127.0.0.1:1",
			map[string]string{"LISTEN_ADDR": "127.0.0.1:2"},
			[]string{"--port=3"},
			func(c *config.Config) { c.ListenAddr = ":3" },
		},
		"an address over a port beside it": {
			"listen_addr: 127.0.0.1:1\nport: 2", nil, nil,
			func(c *config.Config) { c.ListenAddr = "127.0.0.1:1" },
		},
		"a secret of the environment over a file's name in the file": {
			"debug_password_file: /missing",
			map[string]string{"BUILDTRACKER_DEBUG_PASSWORD": "hush"},
			nil,
			func(c *config.Config) { c.DebugPassword = "hush" },
		},
		"a file's name of the environment over a secret of the file": {
			"debug_password: hush",
			map[string]string{"BUILDTRACKER_DEBUG_PASSWORD_FILE": hook},
			nil,
			func(c *config.Config) { c.DebugPassword = "from-a-file" },
		},
		"a file's name as a flag over a secret of the environment": {
			"",
			map[string]string{"BUILDTRACKER_DEBUG_PASSWORD": "hush"},
			[]string{"--debug-password-file=" + other},
			func(c *config.Config) { c.DebugPassword = "from-another" },
		},
		"a file's name in the file": {
			"debug_password_file: " + hook, nil, nil,
			func(c *config.Config) { c.DebugPassword = "from-a-file" },
		},
	} {
		t.Run(name, func(t *testing.T) {
			for name, value := range tc.env {
				t.Setenv(name, value)
			}
			got, err := parse(t, append(tc.args, "--config="+write(t, tc.file))...).Config()
			if err != nil {
				t.Fatal(err)
			}
			want := defaults()
			tc.want(want)
			got.File = config.File{}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("configuration (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOtherCommandsTakeTheirSettingsFromTheFile(t *testing.T) {
	t.Parallel()
	path := write(t, "data_dir: /elsewhere\nslack_channel: C1\nbuild_ttl: 2d\n")
	var rebuild config.RebuildFlags
	rebuild.ConfigFile = path
	c, _, err := rebuild.Config()
	if err != nil {
		t.Fatal(err)
	}
	if c.DataDir != "/elsewhere" || c.BuildTTL != 2*day {
		t.Errorf("rebuild works on %s and %v", c.DataDir, c.BuildTTL)
	}
	var migrate config.MigrateFlags
	migrate.ConfigFile = path
	if c, err = migrate.Config(); err != nil || c.DataDir != "/elsewhere" {
		t.Errorf("migrate works on %+v, %v", c, err)
	}
	migrate.ConfigFile = write(t, "wings: 2")
	if _, err = migrate.Config(); err == nil || !strings.Contains(err.Error(), "tracker.yaml:1:1: ") {
		t.Errorf("a wrong file: %v", err)
	}
}

func TestFileOfTheEnvironment(t *testing.T) {
	t.Setenv("BUILDTRACKER_CONFIG", write(t, "slack_channel: C1"))
	c, err := parse(t).Config()
	if err != nil || c.SlackChannel != "C1" {
		t.Errorf("the configuration is %+v, %v", c, err)
	}
	if c, err = parse(t, "--config="+write(t, "slack_channel: C2")).Config(); err != nil || c.SlackChannel != "C2" {
		t.Errorf("with a flag the configuration is %+v, %v", c, err)
	}
}
