package workflow

import (
	"net/textproto"
	"slices"
	"strings"

	yaml "go.yaml.in/yaml/v4"
)

var (
	httpKeys   = []string{"url", "method", "query", "headers", "body", "json", "form", "expect", "output"}
	headerKeys = []string{"env", "prefix"}

	httpMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}
	httpOutputs = []string{string(OutputText), string(OutputLines), string(OutputJSON), string(OutputResponse)}

	// ownHeaders are set by what sends the request.
	ownHeaders = []string{"Accept-Encoding", "Connection", "Content-Length", "Expect", "Host", "Keep-Alive", "Proxy-Authorization",
		"Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}
)

// http reads a step that sends a request: a URL, or a mapping with it.
func (p *reader) http(d *draft, v view) {
	p.settingsOf(d, Defaults{})
	n := d.fields.given("http")
	d.HTTP = &HTTP{Method: "GET", Output: OutputText}
	where := p.alone(n, "http", "url", "write http: {url: https://example.com/data, output: json}", httpKeys, func(f fields) { p.requestFields(d, v, f) })
	if where == nil {
		return
	}
	d.HTTP.URL = p.requestURL(d, v, where)
}

// requestURL reads the URL of a request. It returns nil if it is none.
func (p *reader) requestURL(d *draft, v view, n *yaml.Node) *Template {
	before := p.failures
	t := p.template(d, v, n, "url")
	if p.failures > before || t == nil {
		return nil
	}
	if !hasExpression(t.parts) {
		if _, err := (&HTTP{URL: t}).address(Env{}); err != nil {
			p.fail(n, nil, "", "%s", err)
		}
		return t
	}
	text := "" // with a stand-in for each value
	for _, part := range t.parts {
		if part.expr == nil {
			text += part.text
			continue
		}
		if part.expr.typ == "array" || part.expr.typ == "object" {
			p.failInside(n, part.at, ErrExpression, "url needs a text, and the expression is of type "+part.expr.typ, "write query: {NAME: LIST} for a list")
		}
		switch urlPart(text) {
		case urlScheme:
			p.failInside(n, part.at, nil, "a value stands before the host of the URL", "write https:// and the host, or begin with the value")
			return t
		case urlWhole:
			p.noteHost(d, n, part.expr)
			text += "https://x"
		case urlHost:
			p.noteHost(d, n, part.expr)
			text += "x"
		default:
			text += "x"
		}
		if usesEnv(part.expr.refs) {
			p.note(n, "pass it as a header: {env: NAME}", "the URL of step %s has a value of the environment, which is kept in the journal", d.ID)
		}
	}
	if p.failures == before {
		if _, err := parseURL(text); err != nil {
			p.fail(n, nil, "", "%s", err)
		}
	}
	return t
}

// noteHost notes a host that is decided by what a model or others said.
func (p *reader) noteHost(d *draft, n *yaml.Node, e *expression) {
	if slices.ContainsFunc(e.refs, func(r ref) bool { return r.root != "params" && r.root != "env" && r.root != "run" }) {
		p.note(n, "write the host, and values behind it", "step %s takes the host of its request from a result or an item, so that its permission is known only then", d.ID)
	}
}

func usesEnv(refs []ref) bool {
	return slices.ContainsFunc(refs, func(r ref) bool { return r.root == "env" })
}

// requestFields reads what stands beside the URL.
func (p *reader) requestFields(d *draft, v view, f fields) {
	h := d.HTTP
	var bodies []string
	for _, key := range []string{"body", "json", "form"} {
		c := f.given(key)
		if key == "json" {
			c = f.get(key) // null is a JSON document
		}
		if c == nil {
			continue
		}
		bodies = append(bodies, key)
		switch key {
		case "body":
			h.Body = p.template(d, v, c, key)
		case "json":
			h.JSON = p.valueOf(d, v, c, key)
		case "form":
			h.Form = p.requestValues(d, v, c, key)
		}
	}
	if len(bodies) > 1 {
		p.fail(f.get(bodies[1]), nil, "remove one of them", "a request cannot have both %s and %s", bodies[0], bodies[1])
	}
	if len(bodies) > 0 {
		h.Method = "POST"
	}
	if c := f.given("method"); c != nil {
		h.Method = p.oneOf(c, "method", httpMethods)
		if len(bodies) > 0 && (h.Method == "GET" || h.Method == "HEAD") {
			p.fail(c, nil, "write method: POST, or query for values in the URL", "a request with method %s cannot have %s", h.Method, bodies[0])
		}
	}
	if c := f.given("query"); c != nil {
		h.Query = p.requestValues(d, v, c, "query")
	}
	if c := f.given("headers"); c != nil {
		p.headers(d, v, c)
	}
	if c := f.given("expect"); c != nil {
		h.Expect = p.statuses(c)
	}
	if c := f.given("output"); c != nil {
		h.Output = RunOutput(p.oneOf(c, "output", httpOutputs))
		if h.Method == "HEAD" && h.Output == OutputJSON {
			p.fail(c, nil, "write output: response", "the answer to HEAD has no body")
		}
	}
}

// requestValues reads a mapping from names to values, each a text, a number, a truth
// value, or a list of those.
func (p *reader) requestValues(d *draft, v view, n *yaml.Node, what string) []RequestField {
	if n.Kind != yaml.MappingNode {
		p.fail(n, nil, "write "+what+": {name: value}", "%s must be a mapping from names to values, not %s", what, kindOf(n))
		return nil
	}
	fields := []RequestField{}
	p.entries(n, func(key, value *yaml.Node) {
		nodes := []*yaml.Node{value}
		if value.Kind == yaml.SequenceNode {
			nodes = value.Content
		}
		for _, c := range nodes {
			if c = follow(c); c.Kind != yaml.ScalarNode || isNull(c) {
				p.fail(c, nil, "write a text, or a list of texts", "%s of %s must be a text, not %s", quote(key.Value), what, kindOf(c))
				return
			}
		}
		if val := p.valueOf(d, v, value, what); val != nil {
			fields = append(fields, RequestField{key.Value, val})
		}
	})
	return fields
}

// headers reads the headers of a request.
func (p *reader) headers(d *draft, v view, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		p.fail(n, nil, "write headers: {Name: value}", "headers must be a mapping from names to texts, not %s", kindOf(n))
		return
	}
	seen := map[string]bool{}
	p.entries(n, func(key, value *yaml.Node) {
		name := textproto.CanonicalMIMEHeaderKey(key.Value)
		switch {
		case !validHeaderName(key.Value):
			p.fail(key, nil, "", "%s is no name of a header", quote(key.Value))
			return
		case slices.Contains(ownHeaders, name):
			p.fail(key, nil, "", "header %s is set by claude-force itself", quote(key.Value))
			return
		case seen[name]:
			p.fail(key, nil, "", "header %s is given twice", quote(key.Value))
			return
		}
		seen[name] = true
		if value.Kind == yaml.MappingNode {
			p.secretHeader(d, name, value)
			return
		}
		t := p.template(d, v, value, key.Value)
		if t == nil {
			return
		}
		d.HTTP.Headers = append(d.HTTP.Headers, Header{Name: name, Text: t})
		hint := "write " + name + ": {env: NAME}, or {env: NAME, prefix: \"Bearer \"}"
		switch hasExpr := hasExpression(t.parts); {
		case !hasExpr && !validHeaderValue(t.parts[0].text):
			p.fail(value, nil, "", "the value of header %s holds a line break or another control character", name)
		case !hasSecret(name):
		case !hasExpr:
			p.note(value, hint, "header %s of step %s stands in the file, and is kept in the journal", name, d.ID)
		case slices.ContainsFunc(t.parts, func(part part) bool { return part.expr != nil && usesEnv(part.expr.refs) }):
			p.fail(value, nil, hint, "header %s would be kept in the journal with its value", name)
		}
	})
}

// secretHeader reads a header whose value is in the environment.
func (p *reader) secretHeader(d *draft, name string, n *yaml.Node) {
	f, ok := p.fields(n, "header "+name, headerKeys)
	if !ok {
		return
	}
	h := Header{Name: name}
	c := f.given("env")
	if c == nil {
		p.fail(n, nil, "write {env: NAME}", "header %s names no variable", name)
		return
	}
	before := p.failures
	if h.Env = p.plain(c, "env"); p.failures == before && (!validID(h.Env) || strings.Contains(h.Env, "-")) {
		p.fail(c, nil, "use letters, digits and _", "%s is no name of an environment variable", quote(h.Env))
	} else if _, ok := p.scope.env[h.Env]; p.failures == before && !ok {
		p.fail(c, ErrExpression, "allowed: "+list(p.scope.names["env"]), "the run may not read the environment variable %s", quote(h.Env))
	}
	if c := f.given("prefix"); c != nil {
		// A blank at its end is part of it.
		before := p.failures
		if h.Prefix = p.plain(c, "prefix"); p.failures == before && !validHeaderValue(h.Prefix) {
			p.fail(c, nil, "", "the prefix of header %s holds a line break or another control character", name)
		}
	}
	d.HTTP.Headers = append(d.HTTP.Headers, h)
}

// hasSecret reports whether a header usually holds a secret.
func hasSecret(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc([]string{"auth", "cookie", "token", "secret", "password", "api-key", "apikey"}, func(word string) bool {
		return strings.Contains(name, word)
	})
}

// validHeaderName reports whether a header can have a name: a token of RFC 9110.
func validHeaderName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}

// statuses reads the statuses of answers that are no failure.
func (p *reader) statuses(n *yaml.Node) []int {
	nodes := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		nodes = n.Content
	}
	var statuses []int
	for _, c := range nodes {
		before := p.failures
		c = follow(c)
		status := p.count(c, "expect", 0)
		if p.failures == before && (isNull(c) || status < 200 || status > 599) {
			p.fail(c, nil, "", "a status that is expected is 200 to 599")
			continue
		}
		statuses = append(statuses, status)
	}
	if len(nodes) == 0 {
		p.fail(n, nil, "write expect: [200, 404]", "expect is empty")
	}
	return statuses
}
