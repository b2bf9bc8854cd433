package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/build-tracker/build-tracker/config"
)

func TestRemoteWorkFollowsProgress(t *testing.T) {
	t.Parallel()
	var got http.Request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = *r
		io.WriteString(w, `{"done":1,"total":3}`+"\n"+`{"done":3,"total":3,"finished":true}`+"\n")
	}))
	defer server.Close()
	remote := remoteWork{http: server.Client(), server: config.Client{URL: server.URL, Token: "hush"}, path: "/-/rebuild"}
	var seen [][2]int64
	_, err := remote.run(t.Context(), func(done, total int64) { seen = append(seen, [2]int64{done, total}) })
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][2]int64{{1, 3}, {3, 3}}, seen); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
	if got.Method != http.MethodPost || got.URL.Path != "/-/rebuild" || got.Header.Get("Authorization") != "Bearer hush" {
		t.Errorf("request %s %s, Authorization %q", got.Method, got.URL.Path, got.Header.Get("Authorization"))
	}
}

func TestRemoteWorkSaysWhyItFailed(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status int
		body   string
		want   string
	}{
		"the work fails":        {200, `{"done":1,"total":3}` + "\n" + `{"error":"The rebuild ended early."}` + "\n", "The rebuild ended early."},
		"the answer breaks off": {200, `{"done":1,"total":3}` + "\n", "ended the answer before the work"},
		"no progress at all":    {200, "<html>", "something else than progress"},
		"a line without end":    {200, strings.Repeat("x", 2*maxAnswer), "token too long"},
		"no token":              {401, `{"title":"Unauthorized","detail":"A token is needed."}`, "A token is needed. (--token"},
		"another listener":      {404, "not found", "404 Not Found (where the server has an ADMIN_ADDR"},
		"another replica":       {409, `{"detail":"This replica does not fold."}`, "refuses: This replica does not fold."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tc.status)
				io.WriteString(w, tc.body)
			}))
			defer server.Close()
			remote := remoteWork{http: server.Client(), server: config.Client{URL: server.URL, Token: "hush"}, path: "/-/rebuild"}
			_, err := remote.run(t.Context(), func(int64, int64) {})
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hush") {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
}
