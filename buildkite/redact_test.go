package buildkite

import (
	"encoding/json"
	"strings"
	"testing"
)

// redacted returns the masked, compact copy of any JSON text.
func redacted(body string, opts Options) (string, *ParseError) {
	r := redactor{scanner: scanner{b: []byte(body)}, opts: opts, key: newKeySum()}
	if err := r.redact(); err != nil {
		return "", err
	}
	return string(r.out), nil
}

func TestRedact(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, body, want string }{
		{"white space", " \t\r\n{ \"a\" : [ 1 , 2 ] , \"b\" : { } } ", `{"a":[1,2],"b":{}}`},
		{"what it does not know", `{"a":[null,true,false,"x",{"y":[]}]}`, `{"a":[null,true,false,"x",{"y":[]}]}`},
		{"numbers as they came", `[9007199254740993,1.0,-0,1E+2,0.10]`, `[9007199254740993,1.0,-0,1E+2,0.10]`},
		{"strings as they came", `["\u0000","\ud800","\/","\u00e9 é","\n"]`, `["\u0000","\ud800","\/","\u00e9 é","\n"]`},
		{"broken UTF-8", "[\"a\xffb\xc3\", \"\xed\xa0\x80\"]", "[\"a\uFFFDb\uFFFD\",\"\uFFFD\uFFFD\uFFFD\"]"},
		{"broken UTF-8 in a name", "{\"\xff\" :1}", "{\"\uFFFD\":1}"},

		{"a webhook URL", `{"pipeline":{"provider":{"webhook_url":"https://x/secret"}}}`, `{"pipeline":{"provider":{"webhook_url":"***"}}}`},
		{"a webhook URL elsewhere", `[{"webhook_url":{"a":1}}]`, `[{"webhook_url":"***"}]`},
		{"a configuration", `{"a":[{"configuration":"steps: x"}]}`, `{"a":[{"configuration":"***"}]}`},
		{"a configuration of any type", `{"configuration": {"a": [1, "x"]}, "b" : 2}`, `{"configuration":"***","b":2}`},
		{"no configuration", `{"configuration":null,"webhook_url":null}`, `{"configuration":null,"webhook_url":null}`},

		{"an env", `{"env":{"A":"x","B":"","C":1,"D":true,"E":null}}`, `{"env":{"A":"***","B":"***","C":"***","D":"***","E":null}}`},
		{"variables to keep", `{"env":{"RELEASE_PUBLIC":"1","A":"x","RELEASE_INTERNAL":"2"}}`, `{"env":{"RELEASE_PUBLIC":"1","A":"***","RELEASE_INTERNAL":"2"}}`},
		{"a deep env", `{"job":{"x":[{"env":{"A":"x"}}]}}`, `{"job":{"x":[{"env":{"A":"***"}}]}}`},
		{"objects in an env", `{"env":{"A":{"RELEASE_PUBLIC":"x"},"B":[{"c":"d"}]}}`, `{"env":{"A":"***","B":"***"}}`},
		{"an env in a kept variable", `{"env":{"RELEASE_PUBLIC":{"env":{"A":"x"}}}}`, `{"env":{"RELEASE_PUBLIC":{"env":{"A":"***"}}}}`},
		{"an env in an env", `{"env":{"env":{"A":"x"}}}`, `{"env":{"env":"***"}}`},
		{"an env that is a list", `{"env":["A=x=y","RELEASE_PUBLIC=1","B=","C",null,1,{"a":"b"},["D=x"]]}`, `{"env":["A=***","RELEASE_PUBLIC=1","B=***","***",null,"***","***","***"]}`},
		{"a list with escapes", `{"env":["\u0041=\u0078","RELEASE_PUBLI\u0043=1"]}`, `{"env":["\u0041=***","RELEASE_PUBLI\u0043=1"]}`},
		{"an escaped equals sign", `{"env":["A\u003dx"]}`, `{"env":["A\u003d***"]}`},
		{"an entry that is no variable", `{"env":["https://u:p@h/?a=b"]}`, `{"env":["***"]}`},
		{"an env that is a text", `{"env":"A=x"}`, `{"env":"***"}`},
		{"an env that is a number", `{"env":7}`, `{"env":"***"}`},
		{"no env", `{"env":null,"x":{"env":{}},"y":{"env":[]}}`, `{"env":null,"x":{"env":{}},"y":{"env":[]}}`},
		{"credentials in a kept variable", `{"env":{"RELEASE_PUBLIC":"https://u:p@h"}}`, `{"env":{"RELEASE_PUBLIC":"https://***@h"}}`},
		{"credentials in a kept entry", `{"env":["RELEASE_PUBLIC=https://u:p@h"]}`, `{"env":["RELEASE_PUBLIC=https://***@h"]}`},
		{"every one of duplicates", `{"env":{"A":"x"},"env":{"A":"y","A":"z"}}`, `{"env":{"A":"***"},"env":{"A":"***","A":"***"}}`},
		{"escaped names", `{"\u0065nv":{"A":"x"},"configur\u0061tion":"x","webhook\u005furl":"x"}`, `{"\u0065nv":{"A":"***"},"configur\u0061tion":"***","webhook\u005furl":"***"}`},
		{"other names", `{"ENV":{"A":"x"},"envs":{"A":"x"},"env ":{"A":"x"}}`, `{"ENV":{"A":"x"},"envs":{"A":"x"},"env ":{"A":"x"}}`},

		{"credentials", `["https://u:p@h"]`, `["https://***@h"]`},
		{"credentials in a name", `{"https://u:p@h":1}`, `{"https://***@h":1}`},
		{"credentials behind escaped slashes", `["https:\/\/user:pass@host\/x"]`, `["https:\/\/***@host\/x"]`},
		{"credentials behind other escapes", `["\u0068ttps\u003a//user:pass\u0040host"]`, `["\u0068ttps\u003a//***\u0040host"]`},
		{"an escaped quote, which ends a URL", `["https://u\u0073er:pa\"ss@host"]`, `["https://u\u0073er:pa\"ss@host"]`},
		{"an escaped password", `["https://user:p\u0061ss\u00e9\ud83d\ude00@host"]`, `["https://***@host"]`},
		{"escapes around credentials", `["\ud800\u0000é\ud83d\ude00 https://u:p@h?token=\u0041&x \udc00\t"]`, `["\ud800\u0000é\ud83d\ude00 https://***@h?token=***&x \udc00\t"]`},
		{"broken UTF-8 around credentials", "[\"\xff https://u:\xff@h \xff\"]", "[\"\uFFFD https://***@h \uFFFD\"]"},
		{"broken UTF-8 and escapes around credentials", "[\"\xff\\n https://u:\xff@h \xff\"]", "[\"\uFFFD\\n https://***@h \uFFFD\"]"},
		{"credentials in two URLs", `["a\thttps://u:p@h b https://t@h?sig=x"]`, `["a\thttps://***@h b https://***@h?sig=***"]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := redacted(tt.body, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("\n got %s\nwant %s", got, tt.want)
			}
			if again, _ := redacted(got, Options{}); again != got {
				t.Errorf("a second time: %s", again)
			}
		})
	}
}

func TestEnvKeepIsConfigurable(t *testing.T) {
	t.Parallel()
	const body = `{"env":{"RELEASE_PUBLIC":"1","A_LONG_NAME_THAT_IS_NO_SECRET_AT_ALL":"2"}}`
	for _, tt := range []struct {
		keep []string
		want string
	}{
		{nil, `{"env":{"RELEASE_PUBLIC":"1","A_LONG_NAME_THAT_IS_NO_SECRET_AT_ALL":"***"}}`},
		{[]string{}, `{"env":{"RELEASE_PUBLIC":"***","A_LONG_NAME_THAT_IS_NO_SECRET_AT_ALL":"***"}}`},
		{[]string{"A_LONG_NAME_THAT_IS_NO_SECRET_AT_ALL"}, `{"env":{"RELEASE_PUBLIC":"***","A_LONG_NAME_THAT_IS_NO_SECRET_AT_ALL":"2"}}`},
	} {
		if got, _ := redacted(body, Options{EnvKeep: tt.keep}); got != tt.want {
			t.Errorf("keeping %q:\n got %s\nwant %s", tt.keep, got, tt.want)
		}
	}
}

func TestPayloadsLoseTheirSecrets(t *testing.T) {
	t.Parallel()
	secrets := []string{
		"ghp_Zx81QpVbN2aKLm", "9f1c07be6a5d4f8e8f0a3a21d9b6c4e2", "dk-4417-plain", "npm_hunter2hunter2",
		"cc-0d9a2b77", "s3cr3t-in-message", "tok_91af", "sk_live_51Hxyz", "swordfish", "old-hook-secret",
	}
	planted := map[string]bool{}
	for _, name := range payloads {
		body := readPayload(t, name)
		d, err := Parse(body, Options{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, secret := range secrets {
			planted[secret] = planted[secret] || strings.Contains(string(body), secret)
			if strings.Contains(string(d.Data), secret) {
				t.Errorf("%s: %s is still there", name, secret)
			}
		}
		if !json.Valid(d.Data) {
			t.Errorf("%s: not valid JSON: %s", name, d.Data)
		}
	}
	for _, secret := range secrets {
		if !planted[secret] {
			t.Errorf("%s is in no payload: the test tests nothing", secret)
		}
	}
}

var payloads = []string{
	"agent.connected", "build.finished", "build.running", "job.finished",
	"old.build.finished", "old.job.finished", "organization.updated", "ping",
}
