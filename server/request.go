package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/claude-force/claude-force/internal/jsontext"
)

// strictly refuses a request of which a part would be ignored or changed: a parameter that
// the operation does not have, one that is given twice or is empty, a body that is
// compressed. The library reads what it knows of a request, and nothing else.
func strictly(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	op := ctx.Operation()
	p := checkQuery(r.URL.RawQuery, op.Parameters)
	if p == nil {
		p = checkHeaders(r.Header, op.Parameters)
	}
	if p == nil {
		p = checkPath(r, op.Parameters)
	}
	if p == nil {
		p = readBody(r, op.RequestBody != nil)
	}
	if p != nil {
		writeProblem(w, r, p)
		return
	}
	if values := r.Header.Values("If-None-Match"); len(values) > 1 {
		r.Header.Set("If-None-Match", strings.Join(values, ", "))
	}
	if accept := r.Header.Values("Accept"); len(accept) > 0 {
		r.Header.Set("Accept", accepts(strings.Join(accept, ","))) // the library fails at some that are no list
	}
	next(ctx)
}

// unreadable returns the problem of a request that cannot be read as it was meant.
func unreadable(format string, args ...any) *Problem {
	return &Problem{Status: http.StatusUnprocessableEntity, Code: "request", Detail: fmt.Sprintf(format, args...)}
}

// checkQuery returns what is wrong with the query of an operation's address, or nil.
func checkQuery(query string, params []*huma.Param) *Problem {
	given, err := url.ParseQuery(query)
	if err != nil {
		return unreadable("the query of the address cannot be read: %v; escape values as in addresses", err)
	}
	known := map[string]*huma.Param{}
	for _, p := range params {
		if p.In == "query" {
			known[p.Name] = p
		}
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		param, values := known[name], given[name]
		switch {
		case param == nil && len(known) == 0:
			return unreadable("the query has a parameter %.80q, and the operation has none", name)
		case param == nil:
			return unreadable("the operation has no query parameter %.80q; it has %s", name, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		case len(values) > 1 && param.Schema.Type == huma.TypeArray:
			return unreadable("the query parameter %s is given %d times; give it once, its values with commas", name, len(values))
		case len(values) > 1:
			return unreadable("the query parameter %s is given %d times; give it once", name, len(values))
		case values[0] == "" && name != "cursor": // that of the first page
			return unreadable("the query parameter %s has no value; give one, or leave the parameter out", name)
		case !isText(values[0]):
			return unreadable("the query parameter %s is not a text in UTF-8", name)
		case param.Schema.Type == huma.TypeNumber && !isNumber(values[0]):
			return unreadable("the query parameter %s is not a number", name)
		case param.Schema.Format == "date-time":
			if p := checkTime(name, values[0]); p != nil {
				return p
			}
		}
	}
	return nil
}

// isNumber reports whether a text is a number, which NaN and Inf are not.
func isNumber(text string) bool {
	v, err := strconv.ParseFloat(text, 64)
	return err == nil && !math.IsNaN(v) && !math.IsInf(v, 0)
}

// Times that a request may name are within these years: stores count nanoseconds since
// 1970, with 64 bits.
const firstYear, lastYear = 1700, 2200

// checkTime returns what is wrong with a query parameter that is a time, or nil.
func checkTime(name, text string) *Problem {
	at, err := time.Parse(time.RFC3339, text)
	switch {
	case err != nil && strings.Contains(text, " "):
		return unreadable("the query parameter %s is not a time such as 2026-11-30T12:00:00Z; write the + of a zone as %%2B", name)
	case err != nil:
		return unreadable("the query parameter %s is not a time with a zone, such as 2026-11-30T12:00:00Z", name)
	case at.UTC().Year() < firstYear || at.UTC().Year() > lastYear:
		return unreadable("the query parameter %s is not between the years %d and %d", name, firstYear, lastYear)
	}
	return nil
}

// checkHeaders returns what is wrong with the headers of a request, or nil.
func checkHeaders(h http.Header, params []*huma.Param) *Problem {
	if coding := h.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return &Problem{Status: http.StatusUnsupportedMediaType, Code: "request", Detail: fmt.Sprintf("the body has the encoding %.80q; send it as it is, without Content-Encoding", coding)}
	}
	for _, p := range params {
		values := h.Values(p.Name)
		switch {
		case p.In != "header" || p.Name == "Accept" || p.Name == "If-None-Match":
		case len(values) > 1:
			return unreadable("the header %s is given %d times; give it once", p.Name, len(values))
		case len(values) == 1 && strings.TrimSpace(values[0]) == "":
			return unreadable("the header %s has no value; give one, or leave the header out", p.Name)
		case len(values) == 1 && !isText(values[0]):
			return unreadable("the header %s is not a text in UTF-8", p.Name)
		}
	}
	return nil
}

// checkPath returns what is wrong with what the path of a request names, or nil.
func checkPath(r *http.Request, params []*huma.Param) *Problem {
	for _, p := range params {
		if p.In == "path" && !isText(r.PathValue(p.Name)) {
			return &Problem{Status: http.StatusNotFound, Code: "not_found", Detail: fmt.Sprintf("what the address names as %s is not a text in UTF-8", p.Name)}
		}
	}
	return nil
}

// readBody reads the body of a request before its operation does, and returns what is wrong
// with it, or nil.
func readBody(r *http.Request, taken bool) *Problem {
	body, err := io.ReadAll(r.Body) // the guard bounds it
	if long, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &Problem{Status: http.StatusRequestEntityTooLarge, Code: "request", Detail: fmt.Sprintf("the body has more than %d bytes", long.Limit)}
	}
	if err != nil {
		return &Problem{Status: http.StatusBadRequest, Code: "request", Detail: "the body breaks off before its end"}
	}
	// Clients write a value that they do not have as null or {}.
	if text := string(bytes.TrimSpace(body)); !taken && text != "" && text != "null" && text != "{}" {
		return unreadable("the operation takes no body; leave it out")
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

// isText reports whether a value is one that stores keep as it is.
func isText(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

// readJSON reads the body of a request. It refuses what would arrive as something else
// than was sent: a key that is given twice, a text that is not Unicode.
func readJSON(data []byte, v any) error {
	if err := json.Unmarshal(data, v); err != nil { // it bounds how deep values are nested
		_, err = jsontext.Explain(data, err)
		return err
	}
	_, err := jsontext.Parse(string(data), nil)
	return err
}

// outputTypes are the media types in which outputs are given, by what a header asks for; the
// first of a pattern stands for it.
var outputTypes = []struct{ Name, Format string }{
	{"application/json", "json"}, {"text/plain", "text"}, {"text/csv", "csv"}, {"application/jsonl", "jsonl"}, {"application/x-ndjson", "jsonl"},
}

// accepts returns the media type of [outputTypes] that a header Accept wants most; JSON if
// it wants none of them.
func accepts(header string) string {
	best, most := outputTypes[0].Name, 0.0
	for part := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(part, ";")
		name = strings.ToLower(strings.TrimSpace(name))
		weight := 1.0
		for param := range strings.SplitSeq(params, ";") {
			if key, value, _ := strings.Cut(strings.TrimSpace(param), "="); strings.EqualFold(key, "q") {
				q, err := strconv.ParseFloat(value, 64)
				if err != nil || !(q >= 0 && q <= 1) {
					q = 0
				}
				weight = q
			}
		}
		for _, t := range outputTypes {
			family, _, _ := strings.Cut(t.Name, "/")
			if weight > most && (name == t.Name || name == family+"/*" || name == "*/*") {
				best, most = t.Name, weight
				break
			}
		}
	}
	return best
}

// formatOf returns the format of outputs that a media type of [outputTypes] stands for.
func formatOf(mediaType string) string {
	for _, t := range outputTypes {
		if t.Name == mediaType {
			return t.Format
		}
	}
	return outputTypes[0].Format
}
