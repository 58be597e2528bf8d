package proxy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// crossed returns what scanners see of a text, of its parts and of theirs.
func crossed(part []byte, scan func([]byte) *scanner, depth int) string {
	if depth > 2*maxMarkedDepth {
		return ""
	}
	var b strings.Builder
	seen := func(name string, value json.RawMessage) {
		fmt.Fprintf(&b, "%q %s [%s]", name, value, crossed(value, scan, depth+1))
	}
	object := scan(part).members(seen)
	array := scan(part).elements(func(value json.RawMessage) { seen("", value) })
	fmt.Fprint(&b, object, array)
	return b.String()
}

func FuzzMarks(f *testing.F) {
	long := strings.Repeat(`one \"line\"\n`, 20)
	for _, seed := range []string{
		`{}`, `{"a":"` + long + `"}`, `{"a":[{"b":"` + long + `","c":{"d":["` + long + `"]}}, 1 ,"x"],"e":{}}`, `{"a":[1}}`, `{"a":x{"b":1}}`, `{"a":"b`,
		`{"a":` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `}`, `[{"a":1}]`, `{"a":{]}}`, `{"a" : "\\" , "b":["\\\"",{}]}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		body := []byte(text)
		m := &marks{text: body}
		m.record(func(string, json.RawMessage) {})
		plain := crossed(body, func(part []byte) *scanner { return &scanner{text: part} }, 0)
		if got := crossed(body, m.scanner, 0); got != plain {
			t.Errorf("%s\nwith marks    %s\nwithout marks %s", text, got, plain)
		}
	})
}

// TestRepeatsAreWhatWouldBeRead asks for requests that differ in one thing each: what is
// remembered of another is never taken for them.
func TestRepeatsAreWhatWouldBeRead(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := newRepeats()
		for range rapid.IntRange(2, 20).Draw(t, "requests") {
			body := fmt.Sprintf(`{"model":"m","max_tokens":%d,"temperature":%d,"messages":[],"metadata":{"user_id":%q}}`,
				rapid.IntRange(1, 2).Draw(t, "tokens"), rapid.IntRange(0, 1).Draw(t, "temperature"), rapid.SampledFrom([]string{"u", "u_session_1", "u_session_2"}).Draw(t, "user"))
			header := http.Header{"X-Other": {"1"}}
			for _, name := range []string{"Anthropic-Version", "Anthropic-Beta", sessionHeaders[0], sessionHeaders[1]} {
				if values := rapid.SliceOfN(rapid.SampledFrom([]string{"", "a", "b", "a,b", `a"`}), 0, 2).Draw(t, name); len(values) > 0 {
					header[name] = values
				}
			}
			query := rapid.SampledFrom([]string{"", "beta=true", "x=1"}).Draw(t, "query")
			share := sharing{rapid.SampledFrom([]Mode{ModeAlways, ModeDeterministic, ModeOff}).Draw(t, "mode"), rapid.Bool().Draw(t, "refresh")}
			want, err := readRequest([]byte(body), header, query, share)
			if err != nil {
				t.Fatal(err)
			}
			asked := askedOf(header, query, share)
			if got := r.find([]byte(body), asked); got != nil {
				got.Wire.Header = header
				if !reflect.DeepEqual(got, want) {
					t.Fatalf("%s with %v: remembered as %+v, read as %+v", body, header, got, want)
				}
			}
			r.add(want, asked)
			if r.find([]byte(body), asked) == nil {
				t.Fatal("it is not remembered")
			}
		}
	})
}

func TestRepeatsAreBounded(t *testing.T) {
	t.Parallel()
	r := newRepeats()
	filler := strings.Repeat("a", maxRepeats/20)
	for i := range 30 {
		req, err := readRequest([]byte(fmt.Sprintf(`{"model":"m","n":%d,"s":%q}`, i, filler)), http.Header{}, "", sharing{mode: ModeAlways})
		if err != nil {
			t.Fatal(err)
		}
		r.add(req, "")
		if r.find(req.Wire.Body, "") == nil {
			t.Error("the newest is not remembered")
		}
	}
	if r.bytes > maxRepeats || len(r.byKey) != len(r.order) || len(r.byKey) < 15 {
		t.Errorf("%d requests with %d bytes are remembered", len(r.byKey), r.bytes)
	}
	for i := range maxRepeats >> 11 {
		req, err := readRequest([]byte(fmt.Sprintf(`{"model":"m","n":%d}`, i)), http.Header{}, "", sharing{mode: ModeAlways})
		if err != nil {
			t.Fatal(err)
		}
		r.add(req, "")
	}
	if len(r.byKey) > maxRepeats>>12 {
		t.Errorf("%d requests are remembered", len(r.byKey))
	}
}
