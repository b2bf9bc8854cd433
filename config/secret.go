package config

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// mask is what a secret shows.
const mask = "***"

// Secret is a text that prints as ***, wherever it ends up: in a log, an error,
// JSON or a panic. The empty Secret is no secret, and prints as nothing.
type Secret string

// Value returns the text itself.
func (s Secret) Value() string { return string(s) }

// String returns the mask.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return mask
}

// masked says whether the text itself is a mask, such as one that was shown.
func (s Secret) masked() bool { return s != "" && strings.Trim(s.Value(), "*") == "" }

// GoString returns the mask.
func (s Secret) GoString() string { return s.String() }

// Format prints the mask, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue returns the mask.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText returns the mask.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Secrets are alternatives, such as tokens while they are rotated.
type Secrets []Secret

// Values returns the texts themselves; nil for none.
func (s Secrets) Values() []string {
	var values []string
	for _, secret := range s {
		values = append(values, secret.Value())
	}
	return values
}
