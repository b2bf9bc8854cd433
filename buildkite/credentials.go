package buildkite

import "bytes"

// mask stands where a secret was.
const mask = "***"

var schemeEnd = []byte("://")

// credentials appends to dst the parts of text that are secrets in URLs, in
// order: what stands before the '@' of an authority, and the values of query
// parameters known to be secret. A URL may be anywhere in the text; it ends at
// white space, a quote or an angle bracket.
//
// Where a URL is malformed, such as by a '/' or '#' in a password, rather too
// much is taken than too little. Masking what was masked changes nothing.
func credentials(dst []span, text []byte) []span {
	for i := 0; ; {
		k := bytes.Index(text[i:], schemeEnd)
		if k < 0 {
			return dst
		}
		i += k
		end := i
		for end < len(text) && !endsURL(text[end]) {
			end++
		}
		dst = urlCredentials(dst, text, span{i, end})
		i = end
	}
}

// maskText returns text with the credentials masked.
func maskText(text string) string {
	secrets := credentials(nil, []byte(text))
	if len(secrets) == 0 {
		return text
	}
	var out []byte
	from := 0
	for _, secret := range secrets {
		out = append(append(out, text[from:secret.start]...), mask...)
		from = secret.end
	}
	return string(append(out, text[from:]...))
}

func endsURL(c byte) bool {
	return c <= ' ' || c == '"' || c == '<' || c == '>' || c == 0x7f
}

// urlCredentials looks at one part of the text: a URL, or several that nothing
// separates.
func urlCredentials(dst []span, text []byte, part span) []span {
	text, i := text[:part.end], part.start
	lastAt := i + bytes.LastIndexByte(text[i:], '@')
	for i < len(text) {
		switch text[i] {
		case ':':
			if !bytes.HasPrefix(text[i:], schemeEnd) {
				i++
				continue
			}
			i += len(schemeEnd)
			end := authorityEnd(text, i)
			if at := userinfoEnd(text, span{i, end}, lastAt); at > i {
				dst = append(dst, span{i, at})
				end = max(end, at)
			}
			i = end
			if text[i-1] == ':' { // of another "://"
				i--
			}
		case '?', '&', ';', '#':
			i++
			value := secretValue(text[i:])
			if value == 0 {
				continue
			}
			start := i + value
			for i = start; i < len(text) && text[i] != '&' && text[i] != '#'; {
				i++
			}
			if i > start {
				dst = append(dst, span{start, i})
			}
		default:
			i++
		}
	}
	return dst
}

// authorityEnd returns where the authority that starts at i ends.
func authorityEnd(text []byte, i int) int {
	for i < len(text) && text[i] != '/' && text[i] != '?' && text[i] != '#' {
		i++
	}
	return i
}

// userinfoEnd returns where the secret userinfo of an authority ends, 0 for
// none. A bare "git" is no secret: it is how git names an SSH remote.
func userinfoEnd(text []byte, in span, lastAt int) int {
	if lastAt < in.start {
		return 0
	}
	authority := text[in.start:in.end]
	at := bytes.LastIndexByte(authority, '@')
	if at < 0 {
		// "user:pa/ss@host" is a password that should have been escaped, for
		// "pa" is no port.
		if hasPort(authority) {
			return 0
		}
		return lastAt
	}
	switch string(authority[:at]) {
	case "git", mask:
		return 0
	}
	return in.start + at
}

// hasPort says whether an authority without userinfo is a well-formed one: a
// host, then nothing or a port.
func hasPort(authority []byte) bool {
	if len(authority) > 0 && authority[0] == '[' { // an IPv6 address
		return true
	}
	_, port, _ := bytes.Cut(authority, []byte{':'})
	for _, c := range port {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// maxParameter is longer than the name of any secret parameter.
const maxParameter = 64

// secretValue returns where the value of the query parameter at the start of b
// begins, if its name is that of a secret; else 0.
func secretValue(b []byte) int {
	var name [maxParameter]byte
	n := 0
	for i := 0; i < len(b) && n < maxParameter; n++ {
		c := b[i]
		i++
		switch {
		case c == '=':
			if isSecretName(name[:n]) {
				return i
			}
			return 0
		case c == '&' || c == ';' || c == '#':
			return 0
		case c == '%' && i+1 < len(b):
			high, ok1 := hexDigit(b[i])
			low, ok2 := hexDigit(b[i+1])
			if ok1 && ok2 {
				c = high<<4 | low
				i += 2
			}
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		name[n] = c
	}
	return 0
}

func isSecretName(lower []byte) bool {
	switch string(lower) {
	case "access_token", "token", "api_key", "apikey", "password", "secret",
		"private_token", "client_secret", "auth_token", "refresh_token", "oauth_token",
		"sig", "signature", "x-amz-signature", "x-amz-security-token", "x-goog-signature":
		return true
	}
	return false
}
