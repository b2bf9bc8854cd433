package buildtracker

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// debugUser is who reads with the debug password.
const debugUser = "devx"

// access says who may read.
type access struct {
	tokens     [][sha256.Size]byte
	password   *[sha256.Size]byte
	production bool
}

func newAccess(tokens []string, password string, production bool) access {
	a := access{production: production}
	for _, t := range tokens {
		a.tokens = append(a.tokens, sha256.Sum256([]byte(t)))
	}
	if password != "" {
		sum := sha256.Sum256([]byte(password))
		a.password = &sum
	}
	return a
}

// known says whether the request shows a token or the debug password.
// Digests are compared: they have one length, so that time tells nothing.
func (a access) known(r *http.Request) bool {
	return a.bearer(r) || a.debug(r)
}

func (a access) bearer(r *http.Request) bool {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return false
	}
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	ok := 0
	for i := range a.tokens {
		ok |= subtle.ConstantTimeCompare(sum[:], a.tokens[i][:])
	}
	return ok == 1
}

func (a access) debug(r *http.Request) bool {
	user, password, ok := r.BasicAuth()
	if !ok || a.password == nil {
		return false
	}
	sum := sha256.Sum256([]byte(password))
	right := subtle.ConstantTimeCompare(sum[:], a.password[:])
	return right&subtle.ConstantTimeCompare([]byte(user), []byte(debugUser)) == 1
}

// open says whether reads need no credentials: outside production, with no
// tokens configured, from this machine.
func (a access) open(r *http.Request) bool {
	return !a.production && len(a.tokens) == 0 && loopback(r)
}

// reader returns nil for a request that may read, else the answer to it. One
// that changes something must not come from another site's page: a browser
// would send the credentials along.
func (a access) reader(r *http.Request) *problem {
	switch {
	case http.NewCrossOriginProtection().Check(r) != nil:
		return fail(http.StatusForbidden, "The request comes from another site's page in a browser. Send it from a program, or from this server's own page.")
	case a.known(r) || a.open(r):
		return nil
	case !a.production && len(a.tokens) == 0:
		return unauthorized("Without API tokens, reads are answered to this machine only, and this request is not taken for one: " + elsewhere(r).Error() + ". Set BUILDTRACKER_API_TOKENS and send one as a bearer token.")
	}
	return unauthorized("Send one of BUILDTRACKER_API_TOKENS as a bearer token, or sign in as user devx with the debug password.")
}

// debugger is reader for the debug route, which in production takes the
// debug password only.
func (a access) debugger(r *http.Request) *problem {
	if a.production && !a.debug(r) {
		return unauthorized("Sign in as user devx with the debug password (BUILDTRACKER_DEBUG_PASSWORD).")
	}
	return a.reader(r)
}

// details says whether a request may see more of the operator's routes than
// that the server is there.
func (a access) details(r *http.Request) bool {
	return !a.production || a.known(r)
}

func unauthorized(detail string) *problem {
	return fail(http.StatusUnauthorized, detail)
}

// loopback says whether a request comes from this machine, and not through a
// proxy on it.
func loopback(r *http.Request) bool { return elsewhere(r) == nil }

// elsewhere returns why a request is not taken for one from this machine, nil for
// one that is. The Host must be this machine's too: else a web page elsewhere could
// read through a browser here, by a name that resolves to 127.0.0.1.
func elsewhere(r *http.Request) error {
	for _, forwarded := range []string{"Forwarded", "X-Forwarded-For", "Via"} {
		if _, there := r.Header[forwarded]; there {
			return fmt.Errorf("it came through a proxy, as its header %s says", forwarded)
		}
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !peer.Addr().Unmap().IsLoopback() {
		return errors.New("it came from another machine")
	}
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return nil
	}
	if addr, err := netip.ParseAddr(host); err == nil && addr.Unmap().IsLoopback() {
		return nil
	}
	return errors.New("its Host is neither localhost nor a loopback address")
}
