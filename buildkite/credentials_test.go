package buildkite

import (
	"strings"
	"testing"
	"time"
)

func TestCredentialsInURLs(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, text, want string }{
		{"a user and a password", "https://user:pass@host/x", "https://***@host/x"},
		{"a token as user", "https://ghp_1@host", "https://***@host"},
		{"an empty password", "https://user:@host", "https://***@host"},
		{"any scheme", "postgres://u:p@db:5432/x?sslmode=off", "postgres://***@db:5432/x?sslmode=off"},
		{"an upper case scheme", "HTTPS://U:P@HOST", "HTTPS://***@HOST"},
		{"in the middle of a text", "see https://u:p@host/x, then <http://t@h>.", "see https://***@host/x, then <http://***@h>."},
		{"in JSON in a text", `{"url":"https://u:p@h"}`, `{"url":"https://***@h"}`},
		{"several lines", "a\nhttps://u:p@h\nb", "a\nhttps://***@h\nb"},
		{"an @ in the password", "https://u:p@ss@host/", "https://***@host/"},
		{"a slash in the password", "https://u:pa/ss@host/", "https://***@host/"},
		{"a hash in the password", "redis://:pa#ss@host/0", "redis://***@host/0"},
		{"a URL in a URL", "https://a/?next=https://u:p@h/", "https://a/?next=https://***@h/"},
		{"URLs that nothing separates", "https://a.b,https://u:p@h", "https://a.b,https://***@h"},

		{"git over SSH", "ssh://git@github.com/acme/web.git", "ssh://git@github.com/acme/web.git"},
		{"git with a password", "https://git:p@h", "https://***@h"},
		{"another user than git", "ssh://gitea@h", "ssh://***@h"},
		{"no userinfo", "https://host:8080/a@b", "https://host:8080/a@b"},
		{"empty userinfo", "npm://@scope/pkg", "npm://@scope/pkg"},
		{"an IPv6 address", "http://[::1]:80/@x", "http://[::1]:80/@x"},
		{"an address in the query", "https://h/?to=a@b", "https://h/?to=a@b"},
		{"an email", "mailto:a@b.c or a@b.c", "mailto:a@b.c or a@b.c"},
		{"no URL", "git@github.com:acme/web.git", "git@github.com:acme/web.git"},
		{"no URL with a token", "?token=x", "?token=x"},
		{"an email after a URL", "https://h a@b", "https://h a@b"},
		{"masked already", "https://***@h/?token=***", "https://***@h/?token=***"},

		{"a query", "https://h/?token=x", "https://h/?token=***"},
		{"a query between others", "https://h/?a=1&access_token=x&b=2#c", "https://h/?a=1&access_token=***&b=2#c"},
		{"a query in HTML", "https://h/?a=1&amp;token=x", "https://h/?a=1&amp;token=***"},
		{"a query in any case", "https://s3/o?X-AMZ-Signature=aa&x-amz-security-token=bb", "https://s3/o?X-AMZ-Signature=***&x-amz-security-token=***"},
		{"an escaped name", "https://h/?%74ok%65n=x", "https://h/?%74ok%65n=***"},
		{"a URL as a secret", "https://h/?token=https://u:p@h&x=y", "https://h/?token=***&x=y"},
		{"a fragment", "https://h/#access_token=x", "https://h/#access_token=***"},
		{"an empty value", "https://h/?token=&x", "https://h/?token=&x"},
		{"other parameters", "https://h/?tokens=1&mytoken=2&page=3", "https://h/?tokens=1&mytoken=2&page=3"},
		{"the text behind the URL", "https://h/?sig=x and more", "https://h/?sig=*** and more"},
		{"a broken escape", "https://h/?%7&%", "https://h/?%7&%"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := maskText(tt.text); got != tt.want {
				t.Errorf("maskText(%q)\n got %q\nwant %q", tt.text, got, tt.want)
			}
			if got := maskText(tt.want); got != tt.want {
				t.Errorf("masking twice gives %q", got)
			}
		})
	}
}

func TestEverySecretParameterIsMasked(t *testing.T) {
	t.Parallel()
	for _, name := range strings.Fields("access_token token api_key apikey password secret private_token client_secret " +
		"auth_token sig signature X-Amz-Signature X-Amz-Security-Token") {
		if got, want := maskText("https://h/?a=b&"+name+"=v"), "https://h/?a=b&"+name+"=***"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestMaskingTakesLinearTime(t *testing.T) {
	t.Parallel()
	const n = 5 << 20
	for _, piece := range []string{"://", "a://b ", "://a:b/", "?token=", "&", "://u@", "://\\u0040"} {
		body := `{"m":"` + strings.Repeat(piece, n/len(piece)) + `"}`
		start := time.Now()
		r := redactor{scanner: scanner{b: []byte(body)}, key: newKeySum()}
		if err := r.redact(); err != nil {
			t.Fatal(err)
		}
		// A quadratic walk over these takes hours.
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("%q: %v", piece, took)
		}
	}
}

// Every text of up to five of these pieces.
func TestMaskingTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	pieces := []string{"://", "@", ":", "/", "?token=", "&", ";sig=", "#", "git", mask, " ", "a", "1", "["}
	var grow func(text string, n int)
	grow = func(text string, n int) {
		once := maskText(text)
		if twice := maskText(once); twice != once {
			t.Errorf("%q is %q, then %q", text, once, twice)
		}
		if n == 0 || t.Failed() {
			return
		}
		for _, piece := range pieces {
			grow(text+piece, n-1)
		}
	}
	grow("a://", 4)
}
