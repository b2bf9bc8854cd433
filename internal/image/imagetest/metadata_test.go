package imagetest_test

import (
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/build-tracker/build-tracker/internal/image/imagetest"
)

func TestMetadata(t *testing.T) {
	t.Parallel()
	config := v1.Config{
		User:         "1:2",
		Entrypoint:   []string{"/server"},
		Cmd:          []string{"serve"},
		Env:          []string{"PORT=8080", "EMPTY="},
		ExposedPorts: map[string]struct{}{"8080/tcp": {}, "53/udp": {}},
		Volumes:      map[string]struct{}{"/data": {}},
		WorkingDir:   "/data",
		Labels:       map[string]string{"version": "v1.2.3"},
	}
	words := func(w ...string) *[]string { return &w }
	kv := func(key, value string) []imagetest.KeyValue { return []imagetest.KeyValue{{Key: key, Value: value}} }
	regex := func(key, value string) []imagetest.KeyValue {
		return []imagetest.KeyValue{{Key: key, Value: value, IsRegex: true}}
	}
	for name, tc := range map[string]struct {
		test imagetest.MetadataTest
		want string // of the one problem; "" for none
	}{
		"nothing asked": {},
		"all as it is": {test: imagetest.MetadataTest{
			User: "1:2", Entrypoint: words("/server"), Cmd: words("serve"), EnvVars: kv("EMPTY", ""), Workdir: "/data",
			ExposedPorts: []string{"8080", "53/udp"}, Volumes: []string{"/data"}, Labels: regex("version", `^v\d`),
			UnexposedPorts: []string{"8081", "53/tcp"}, UnmountedVolumes: []string{"/"}, UnboundEnvVars: kv("TOKEN", ""),
		}},
		"another user":            {imagetest.MetadataTest{User: "root"}, "the user"},
		"another entrypoint":      {imagetest.MetadataTest{Entrypoint: words("/server", "-v")}, "the entrypoint"},
		"no entrypoint":           {imagetest.MetadataTest{Entrypoint: words()}, "the entrypoint"},
		"another command":         {imagetest.MetadataTest{Cmd: words("migrate")}, "the command"},
		"another folder":          {imagetest.MetadataTest{Workdir: "/"}, "the working folder"},
		"another value":           {imagetest.MetadataTest{EnvVars: kv("PORT", "80")}, "variable PORT"},
		"no variable":             {imagetest.MetadataTest{EnvVars: kv("TOKEN", "")}, "variable TOKEN"},
		"a variable too many":     {imagetest.MetadataTest{UnboundEnvVars: kv("EMPTY", "")}, "variable EMPTY"},
		"another label":           {imagetest.MetadataTest{Labels: regex("version", `^\d`)}, "label version"},
		"a pattern is no text":    {imagetest.MetadataTest{Labels: kv("version", `^v`)}, "label version"},
		"a port that is not":      {imagetest.MetadataTest{ExposedPorts: []string{"80"}}, "port 80 "},
		"a port of the other way": {imagetest.MetadataTest{ExposedPorts: []string{"53/tcp"}}, "port 53/tcp"},
		"a port too many":         {imagetest.MetadataTest{UnexposedPorts: []string{"8080"}}, "port 8080"},
		"a volume that is not":    {imagetest.MetadataTest{Volumes: []string{"/"}}, "/ is no volume"},
		"a volume too many":       {imagetest.MetadataTest{UnmountedVolumes: []string{"/data"}}, "/data is a volume"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			problems := tc.test.Check(config)
			if tc.want == "" && len(problems) == 0 {
				return
			}
			if len(problems) != 1 || tc.want == "" || !strings.Contains(problems[0], tc.want) {
				t.Errorf("problems %q, want one with %q", problems, tc.want)
			}
		})
	}
}
