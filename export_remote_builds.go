package buildtracker

import (
	"net/url"
	"strconv"
)

// buildAddress says where a build is, as its envelopes do.
type buildAddress struct {
	organization, pipeline string
	number                 int64
}

// path is the build's in the API.
func (a buildAddress) path() string {
	return "/api/builds/" + url.PathEscape(a.organization) + "/" + url.PathEscape(a.pipeline) + "/" + strconv.FormatInt(a.number, 10)
}

// maxRecentBuilds bounds each generation of recentBuilds.
const maxRecentBuilds = 50_000

// recentBuilds remembers the addresses of the builds that were heard of last, at
// least maxRecentBuilds of them. The zero value is ready.
type recentBuilds struct {
	young, old buildIndex
}

type buildIndex struct {
	addresses map[string]buildAddress
	ids       map[buildAddress]string
}

// put remembers a build. Of two at one address, the later one.
func (r *recentBuilds) put(id string, at buildAddress) {
	if r.young.ids == nil || len(r.young.addresses) >= maxRecentBuilds {
		r.old, r.young = r.young, buildIndex{make(map[string]buildAddress), make(map[buildAddress]string)}
	}
	r.young.addresses[id], r.young.ids[at] = at, id
}

// address returns where a build is.
func (r *recentBuilds) address(id string) (buildAddress, bool) {
	at, ok := r.young.addresses[id]
	if !ok {
		at, ok = r.old.addresses[id]
	}
	return at, ok
}

// at returns the id of the build at an address; empty where it is not remembered.
func (r *recentBuilds) at(at buildAddress) string {
	if id := r.young.ids[at]; id != "" {
		return id
	}
	return r.old.ids[at]
}
