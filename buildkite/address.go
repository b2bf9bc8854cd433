package buildkite

import "strings"

// address is where in a payload those parts are that say what it is about.
type address struct {
	event                                     span
	build, job, pipeline, organization, agent object
}

// object is an object of the top level, and what an address needs of it.
type object struct {
	at                            span
	id, number, slug, url, webURL span
}

func (o *object) reset() *span {
	*o = object{}
	return &o.at
}

func (o *object) note(name []byte) *span {
	switch string(name) {
	case "id":
		return &o.id
	case "number":
		return &o.number
	case "slug":
		return &o.slug
	case "url":
		return &o.url
	case "web_url":
		return &o.webURL
	}
	return nil
}

// in says whether the payload has the object.
func (o *object) in(v values) bool { return v.kind(o.at) == '{' }

// eventName returns the event's name, empty if there is none or it is no name.
func (a *address) eventName(v values) string {
	name := v.text(a.event, maxEvent+1)
	odd := func(r rune) bool {
		return r != '_' && r != '.' && (r < '0' || r > '9') && (r < 'a' || r > 'z')
	}
	if len(name) > maxEvent || strings.ContainsFunc(name, odd) {
		return ""
	}
	return name
}

// organizationOf returns the slug of the organization, from the first that
// tells: the organization itself, then the API's URLs of these objects, then
// those of their pages. It is empty if none does.
func (a *address) organizationOf(v values, objects ...*object) string {
	if slug := v.text(a.organization.slug, maxSlug+1); slug != "" {
		return saneSlug(slug)
	}
	for _, o := range objects {
		if slug := pathOrganization(v.path(o.url)); slug != "" {
			return slug
		}
	}
	for _, o := range objects {
		path := v.path(o.webURL)
		if slug := pathOrganization(path); slug != "" {
			return slug
		}
		// /ORG/PIPELINE/builds/NUMBER
		if slug, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/"); saneSlug(slug) != "" {
			return slug
		}
	}
	return ""
}

// pathOrganization finds the slug in /v2/organizations/ORG/pipelines/PIPELINE.
func pathOrganization(path string) string {
	_, rest, _ := strings.Cut(path, "/organizations/")
	slug, _, _ := strings.Cut(rest, "/")
	return saneSlug(slug)
}

// path returns the path of a URL, as the masked payload has it: body and
// stored payload must give the same address.
func (v values) path(at span) string {
	url := v.text(at, len(v))
	if strings.ContainsAny(url, "@=") {
		url = maskText(url)
	}
	_, rest, _ := strings.Cut(url, "://")
	if end := strings.IndexAny(rest, "?#"); end >= 0 {
		rest = rest[:end]
	}
	slash := strings.IndexByte(rest, '/')
	if slash < 0 {
		return ""
	}
	return rest[slash:]
}

// needs says what a payload lacks to be of use, in a sentence for its sender.
func needs(event, what string) *ParseError {
	return &ParseError{
		Problem: event + " needs " + what + ". Send the payload as Buildkite made it.",
		Offset:  -1,
	}
}

// where is the resolved address of a build.
type where struct {
	organization, pipeline, id string
	number                     int64
}

// ofBuild returns the build's address. The error says what is missing.
func (a *address) ofBuild(v values, event string) (w where, err *ParseError) {
	w = where{
		organization: a.organizationOf(v, &a.pipeline, &a.build),
		pipeline:     v.slug(a.pipeline.slug),
		id:           v.id(a.build.id),
		number:       v.number(a.build.number),
	}
	switch {
	case !a.build.in(v):
		return w, needs(event, "a build, which is an object")
	case w.id == "":
		return w, needs(event, "build.id, a text of at most 100 bytes without control characters")
	case w.number == 0:
		return w, needs(event, "build.number, an integer above 0")
	case w.pipeline == "":
		return w, needs(event, "pipeline.slug, a text of at most 200 bytes without slashes or control characters")
	case w.organization == "":
		return w, needs(event, "an organization: organization.slug, or a pipeline.url, build.url or build.web_url that names it")
	}
	return w, nil
}
