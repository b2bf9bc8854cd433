package config

import (
	"reflect"
	"strings"
)

// field is a flag of a struct whose name ends in Flags, as its tags describe it.
type field struct {
	flag, env   string
	group, help string
	fallback    string // the default
	value       reflect.Value
}

// fieldsOf returns the flags of a struct and of those embedded in it, in order.
// The text of one can be set where flags is a pointer.
func fieldsOf(flags any) []field {
	return appendFields(nil, reflect.Indirect(reflect.ValueOf(flags)))
}

func appendFields(out []field, v reflect.Value) []field {
	for i := range v.NumField() {
		at := v.Type().Field(i)
		if at.Anonymous {
			out = appendFields(out, v.Field(i))
			continue
		}
		if name := at.Tag.Get("name"); name != "" && at.Tag.Get("env") != "" {
			out = append(out, field{
				flag: name, env: at.Tag.Get("env"),
				group: at.Tag.Get("group"), help: at.Tag.Get("help"),
				fallback: at.Tag.Get("default"), value: v.Field(i),
			})
		}
	}
	return out
}

// settings returns the flags that a configuration file may set: all of the
// server's but the one that names the file.
func settings(flags any) []field {
	var out []field
	for _, f := range fieldsOf(flags) {
		if f.flag != fileFlag {
			out = append(out, f)
		}
	}
	return out
}

// key is what the setting is called in the configuration file.
func (f field) key() string { return strings.ReplaceAll(f.flag, "-", "_") }

// text is the value as it was given. Every flag holds text.
func (f field) text() string { return f.value.String() }

func (f field) is(kind any) bool { return f.value.Type() == reflect.TypeOf(kind) }

// alternative names what f and others set together: a secret and the file that
// holds it, an address and its port.
func (f field) alternative() string {
	if f.flag == "port" {
		return "listen-addr"
	}
	return strings.TrimSuffix(f.flag, "-file")
}
