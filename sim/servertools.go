package sim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

// scriptedServerCall is a call of a server tool, which the service runs itself:
// the answer has the call and its result.
type scriptedServerCall struct {
	name    string // web_search or web_fetch
	input   json.RawMessage
	results []scriptedPage
	error   string // instead of results
}

// scriptedPage is a page that a server tool found or fetched.
type scriptedPage struct {
	url, title, age, text string
	cite                  string // what the answer's text cites of it; empty for nothing
}

// serverToolCounts holds the calls of server tools as usage counts them.
type serverToolCounts struct{ search, fetch int }

// count returns the server_tool_use of a usage; nil, for null, without calls.
func (c serverToolCounts) count() any {
	if c == (serverToolCounts{}) {
		return nil
	}
	return map[string]int{"web_search_requests": c.search, "web_fetch_requests": c.fetch}
}

// direct is the caller of a tool that the model itself calls.
var direct = map[string]string{"type": "direct"}

// serverTools are the server tools that a script can play, and their errors.
var serverTools = map[string][]string{
	"web_search": {"invalid_tool_input", "max_uses_exceeded", "query_too_long", "request_too_large", "too_many_requests", "unavailable"},
	"web_fetch":  {"invalid_tool_input", "max_uses_exceeded", "too_many_requests", "unavailable", "unsupported_content_type", "url_not_accessible", "url_not_allowed", "url_too_long"},
}

// serverCalls adds the calls of server tools to an answer, with their results. It
// returns the citations of the text that follows.
func (r *request) serverCalls(a *answer, calls []scriptedServerCall, src *source, fill func(string) string) []json.RawMessage {
	var citations []json.RawMessage
	used := map[string]int{}
	for i, call := range calls {
		id := src.id("srvtoolu_", strconv.Itoa(i))
		a.content = append(a.content, content{Type: "server_tool_use", ID: id, Name: call.name, Input: json.RawMessage(fill(string(call.input)))})
		used[call.name]++
		failure := call.error
		if t := r.serverTool(call.name); t != nil && t.MaxUses > 0 && used[call.name] > t.MaxUses {
			failure = "max_uses_exceeded"
		}
		var result any
		switch {
		case failure != "":
			result = map[string]any{"type": call.name + "_tool_result_error", "error_code": failure}
		case call.name == "web_search":
			a.serverTools.search++
			var cited []json.RawMessage
			result, cited = searchResults(call.results, src, fill)
			citations = append(citations, cited...)
		default:
			a.serverTools.fetch++
			result = fetchResult(call, fill)
		}
		a.content = append(a.content, content{Type: call.name + "_tool_result", whole: encode(map[string]any{
			"type": call.name + "_tool_result", "tool_use_id": id, "caller": direct, "content": result,
		})})
	}
	return citations
}

// serverTool returns the server tool of the request with the given name, or nil.
func (r *request) serverTool(name string) *tool {
	at := slices.IndexFunc(r.Tools, func(t tool) bool { return strings.HasPrefix(t.Type, name+"_20") })
	if at < 0 {
		return nil
	}
	return &r.Tools[at]
}

// checkServerCalls returns the error for a script that calls a server tool which
// the request does not offer: the model cannot call it.
func (r *request) checkServerCalls(calls []scriptedServerCall) *apiError {
	for _, call := range calls {
		if r.serverTool(call.name) == nil {
			return invalid("the script calls the server tool " + call.name + ", which the request does not offer")
		}
	}
	return nil
}

func searchResults(pages []scriptedPage, src *source, fill func(string) string) (results []any, citations []json.RawMessage) {
	results = []any{}
	for i, p := range pages {
		url, title := fill(p.url), fill(p.title)
		token := src.id("sim", fmt.Sprintf("page %d %s", i, url)) // opaque to clients
		results = append(results, map[string]any{
			"type": "web_search_result", "url": url, "title": title, "page_age": orNull(p.age), "encrypted_content": token,
		})
		if p.cite != "" {
			citations = append(citations, encode(map[string]any{
				"type": "web_search_result_location", "url": url, "title": title, "encrypted_index": token, "cited_text": fill(p.cite),
			}))
		}
	}
	return results, citations
}

func fetchResult(call scriptedServerCall, fill func(string) string) any {
	var input struct {
		URL string `json:"url"`
	}
	_ = json.Unmarshal(call.input, &input) // a call without a URL gets a page without one
	var p scriptedPage
	if len(call.results) > 0 {
		p = call.results[0]
	}
	return map[string]any{
		"type": "web_fetch_result", "url": fill(cmp.Or(p.url, input.URL)), "retrieved_at": cmp.Or(p.age, "2026-01-01T00:00:00Z"),
		"content": map[string]any{
			"type": "document", "title": orNull(fill(p.title)), "citations": map[string]bool{"enabled": false},
			"source": map[string]string{"type": "text", "media_type": "text/plain", "data": fill(p.text)},
		},
	}
}

// encode returns a value of strings, numbers, maps and lists as JSON.
func encode(v any) json.RawMessage {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // such values have a form in JSON
	}
	return data
}

// serverCall parses a call of a server tool.
func (r *scriptReader) serverCall(n *yaml.Node) scriptedServerCall {
	c := scriptedServerCall{input: json.RawMessage("{}")}
	var failure *yaml.Node
	r.mapping(n, "a server tool call", func(key string, v *yaml.Node) bool {
		switch key {
		case "name":
			if c.name = r.name(v, key); c.name != "" && serverTools[c.name] == nil {
				r.fail(v, "known are web_search and web_fetch", "unknown server tool %q", c.name)
			}
		case "input":
			c.input = r.input(v)
		case "results":
			if v.Kind != yaml.SequenceNode || len(v.Content) > 0 { // a search may find nothing
				for _, page := range r.list(v, key) {
					c.results = append(c.results, r.page(page))
				}
			}
		case "error":
			c.error, failure = r.name(v, key), v
		default:
			return false
		}
		return true
	}, "error", "input", "name", "results")
	known := serverTools[c.name]
	switch {
	case c.name == "" && n.Kind == yaml.MappingNode:
		r.fail(n, "write name: web_search", "the server tool call has no name")
	case failure != nil && known != nil && !slices.Contains(known, c.error):
		r.fail(failure, "known are "+strings.Join(known, ", "), "unknown error %q of %s", c.error, c.name)
	case failure != nil && c.results != nil:
		r.fail(failure, "leave one of them out", "a server tool call has results or an error")
	}
	return c
}

func (r *scriptReader) page(n *yaml.Node) scriptedPage {
	var p scriptedPage
	r.mapping(n, "a result", func(key string, v *yaml.Node) bool {
		to, ok := map[string]*string{"url": &p.url, "title": &p.title, "page_age": &p.age, "text": &p.text, "cite": &p.cite}[key]
		if ok {
			*to = r.text(v, key)
		}
		return ok
	}, "cite", "page_age", "text", "title", "url")
	return p
}
