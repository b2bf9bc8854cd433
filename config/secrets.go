package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
)

// maxSecretFile is the size in bytes above which a file holds no secret.
const maxSecretFile = 64 << 10

// secret returns the value of a variable or of the file that NAME_FILE names.
// Blank means none.
func (p *problems) secret(name string, value Secret, file string) Secret {
	if strings.TrimSpace(value.Value()) == "" {
		value = ""
	}
	if value.masked() {
		p.add("%s is masked: write the secret itself, or name a file that holds it with %s_FILE", name, name)
	}
	file = strings.TrimSpace(file)
	if file == "" {
		return value
	}
	if value != "" {
		p.add("%s and %s_FILE are both set: set one of them", name, name)
		return value
	}
	text, err := readSecret(file)
	if err != nil {
		p.add("%s_FILE cannot be read: %w", name, err)
	}
	return Secret(text)
}

// readSecret returns what a file holds, without the line's end.
func readSecret(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err != nil {
		return "", err
	}
	if len(b) > maxSecretFile {
		return "", fmt.Errorf("%s is larger than %d bytes", path, maxSecretFile)
	}
	text := strings.TrimRight(string(b), "\r\n")
	if strings.TrimSpace(text) == "" {
		return "", errors.New(path + " is empty")
	}
	return text, nil
}

// tokens returns the entries of a comma-separated list. An empty one is a
// problem: compared with what a client sent, it would let in those who send
// nothing.
func (p *problems) tokens(name string, value Secret, file string) Secrets {
	list := p.secret(name, value, file)
	if list == "" {
		return nil
	}
	var tokens Secrets
	for i, token := range strings.Split(list.Value(), ",") {
		token = strings.TrimSpace(token)
		if token == "" {
			p.add("%s has an empty entry, number %d of its list: remove the comma too many", name, i+1)
			continue
		}
		if strings.ContainsFunc(token, unicode.IsControl) {
			p.add("%s has a line break, or another character that no token has, in number %d of its list: separate tokens with commas", name, i+1)
			continue
		}
		tokens = append(tokens, Secret(token))
	}
	return tokens
}
