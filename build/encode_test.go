package build

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestEncodeIsTheJSONThatTheTagsSay holds the hand-written form to the tags.
func TestEncodeIsTheJSONThatTheTagsSay(t *testing.T) {
	t.Parallel()
	check := func(t interface {
		Helper()
		Fatal(args ...any)
		Fatalf(format string, args ...any)
	}, b *Build,
	) {
		t.Helper()
		tagged, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		var want, got any
		if err := json.Unmarshal(tagged, &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(Encode(b), &got); err != nil {
			t.Fatalf("not JSON: %v\n%s", err, Encode(b))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("another form (-tags +written):\n%s", diff)
		}
	}
	check(t, &Build{})
	full := new(Build)
	fill(reflect.ValueOf(full).Elem())
	check(t, full)
	rapid.Check(t, func(t *rapid.T) {
		b := foldAll(rapid.SliceOfN(rapid.Custom(someFacts), 0, 8).Draw(t, "deliveries"))
		b.Message.V = rapid.String().Draw(t, "message")
		b.WebURL = string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
		check(t, b)
	})
}

// fill sets every field below v, so that one that is forgotten is missed.
func fill(v reflect.Value) {
	if at, ok := v.Addr().Interface().(*time.Time); ok {
		*at = time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("<text> & \"more\"\n\u2028\x00\x7f ü")
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0))
		fill(v.Index(1))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for _, key := range []string{"a", "b"} {
			value := reflect.New(v.Type().Elem()).Elem()
			fill(value)
			v.SetMapIndex(reflect.ValueOf(key), value)
		}
	default:
		panic("a field of kind " + v.Kind().String())
	}
}

func BenchmarkEncode(b *testing.B) {
	full := new(Build)
	fill(reflect.ValueOf(full).Elem())
	b.ReportAllocs()
	for b.Loop() {
		Encode(full)
	}
}
