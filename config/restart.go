package config

import "reflect"

// NeedsRestart returns the keys of the settings in which next differs and that
// only a start applies.
func (c *Config) NeedsRestart(next *Config) []string {
	return differing(nil, reflect.ValueOf(*c), reflect.ValueOf(*next))
}

func differing(keys []string, a, b reflect.Value) []string {
	for i := range a.NumField() {
		at := a.Type().Field(i)
		key := at.Tag.Get("key")
		switch {
		case key != "":
			if !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
				keys = append(keys, key)
			}
		case at.Type.Kind() == reflect.Struct && at.Type != reflect.TypeFor[File]() && at.Type != reflect.TypeFor[Live]():
			keys = differing(keys, a.Field(i), b.Field(i))
		}
	}
	return keys
}
