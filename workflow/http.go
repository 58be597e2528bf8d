package workflow

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// OutputResponse is the output of a step that sends a request: an object with the
// status, the headers and the body.
const OutputResponse RunOutput = "response"

// HTTP is the request that a step sends. At most one of Body, JSON and Form is set.
type HTTP struct {
	Method  string
	URL     *Template
	Query   []RequestField // added to the URL, in this order
	Headers []Header       // in this order, each name once
	Body    *Template
	JSON    *Value
	Form    []RequestField
	Expect  []int // statuses that are no failure; empty: 200 to 299
	Output  RunOutput
}

// RequestField is a name and its value; a value that is a list stands for several.
type RequestField struct {
	Name  string
	Value *Value
}

// Header is a header of a request: either a text, or the value that a variable of the
// environment has when the request is sent, with Prefix before it.
type Header struct {
	Name        string
	Text        *Template // nil: Env
	Env, Prefix string
}

// HTTPRequest is an [HTTP] with its values filled in, but for those that are read when
// it is sent.
type HTTPRequest struct {
	Method  string       `json:"method"`
	URL     string       `json:"url"`
	Headers []HTTPHeader `json:"headers,omitempty"`
	Body    string       `json:"body,omitempty"`
}

// HTTPHeader is a header of an [HTTPRequest]. With Env it is Prefix and the value of
// that variable of the environment, which is a secret.
type HTTPHeader struct {
	Name   string `json:"name"`
	Value  string `json:"value,omitempty"`
	Env    string `json:"env,omitempty"`
	Prefix string `json:"prefix,omitempty"`
}

// Expects reports whether a status is no failure.
func (h *HTTP) Expects(status int) bool {
	if len(h.Expect) == 0 {
		return status >= 200 && status < 300
	}
	return slices.Contains(h.Expect, status)
}

// Fill returns the request with its values, as an [HTTPRequest].
func (h *HTTP) Fill(env Env) (any, error) {
	r := HTTPRequest{Method: h.Method}
	u, err := h.address(env)
	if err != nil {
		return r, err
	}
	query, err := encodeFields(h.Query, env)
	if err != nil {
		return r, err
	}
	if query != "" && u.RawQuery != "" {
		query = "&" + query
	}
	u.RawQuery += query
	r.URL = u.String()
	if len(r.URL) > maxURL {
		return r, fmt.Errorf("the URL is longer than %d bytes", maxURL)
	}
	for _, header := range h.Headers {
		value, err := header.Text.Render(env)
		if err == nil && !validHeaderValue(value) {
			err = errors.New("its value holds a line break or another control character")
		}
		if err != nil {
			return r, fmt.Errorf("header %s: %w", header.Name, err)
		}
		r.Headers = append(r.Headers, HTTPHeader{header.Name, value, header.Env, header.Prefix})
	}
	contentType := ""
	switch {
	case h.JSON != nil:
		contentType = "application/json"
		r.Body, err = encodeJSON(h.JSON, env)
	case h.Form != nil:
		contentType = "application/x-www-form-urlencoded"
		r.Body, err = encodeFields(h.Form, env)
	case h.Body != nil:
		contentType = "text/plain; charset=utf-8"
		r.Body, err = h.Body.Render(env)
	}
	if contentType != "" && !slices.ContainsFunc(r.Headers, func(x HTTPHeader) bool { return strings.EqualFold(x.Name, "Content-Type") }) {
		r.Headers = append(r.Headers, HTTPHeader{Name: "Content-Type", Value: contentType})
	}
	return r, err
}

// maxURL bounds the URL of a request.
const maxURL = 8000

// Parts of a URL, by what may stand in them.
const (
	urlWhole  = iota // nothing is before it
	urlScheme        // before ://
	urlHost
	urlPath
	urlQuery
)

// urlPart returns the part of a URL that follows a beginning of it.
func urlPart(before string) int {
	_, rest, ok := strings.Cut(before, "://")
	switch {
	case before == "":
		return urlWhole
	case !ok:
		return urlScheme
	case strings.Contains(rest, "?"):
		return urlQuery
	case strings.Contains(rest, "/"):
		return urlPath
	}
	return urlHost
}

// address returns the URL with its values. A value stays within its place: one in the
// path or the query is percent-encoded, one within the host is part of a name. Only a
// value at the very beginning may be several parts of the URL.
func (h *HTTP) address(env Env) (*url.URL, error) {
	text, err := h.text(env)
	if err != nil {
		return nil, err
	}
	return parseURL(text)
}

func (h *HTTP) text(env Env) (string, error) {
	var b strings.Builder
	for _, p := range h.URL.parts {
		if p.expr == nil {
			b.WriteString(p.text)
			continue
		}
		value, err := (&Template{parts: []part{p}}).Render(env)
		if err == nil {
			value, err = placed(urlPart(b.String()), value)
		}
		if err != nil {
			return "", fmt.Errorf("url: ${{ %s }}: %w", strings.TrimSpace(p.expr.source), err)
		}
		b.WriteString(value)
	}
	return b.String(), nil
}

// placed returns a value as it stands in a part of a URL.
func placed(part int, value string) (string, error) {
	switch part {
	case urlWhole:
		return value, nil
	case urlHost:
		if value == "" || strings.Trim(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") != "" && !isHostPort(value) {
			return "", errors.New("a value within the host of a URL holds only letters, digits, - and ., and this one does not")
		}
		return value, nil
	case urlPath:
		if value == "" {
			return "", errors.New("a value within the path of a URL is empty")
		}
		for _, segment := range strings.FieldsFunc(value, func(r rune) bool { return r == '/' || r == '\\' }) {
			if segment == "." || segment == ".." {
				return "", errors.New("a value within the path of a URL holds .., which leads elsewhere")
			}
		}
		return url.PathEscape(value), nil
	case urlQuery:
		return url.QueryEscape(value), nil
	}
	return "", errors.New("a value stands before the host of the URL; write https:// and the host, or begin with the value")
}

// isHostPort reports whether a value is a host's name and a port.
func isHostPort(value string) bool {
	host, port, ok := strings.Cut(value, ":")
	return ok && host != "" && port != "" && strings.Trim(port, "0123456789") == "" &&
		strings.Trim(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") == ""
}

// parseURL returns the parts of a complete URL of a request.
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Opaque != "" || u.Hostname() == "" || !utf8.ValidString(text):
		return nil, fmt.Errorf("%s is no URL; a URL has a scheme and a host: https://example.com/data", quote(cutText(text)))
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("requests are sent over https or http, not %s", quote(cutText(u.Scheme)))
	case u.User != nil:
		return nil, errors.New("the URL holds a user name or a password; give it as a header: {Authorization: {env: NAME, prefix: \"Basic \"}}")
	case strings.Contains(text, "#"):
		return nil, errors.New("the URL has a fragment, which is not sent; write %23 for the character #")
	case strings.Contains(u.Hostname(), ":") && !strings.HasPrefix(u.Host, "["):
		return nil, fmt.Errorf("%s is no host of a URL", quote(cutText(u.Host)))
	}
	for segment := range strings.SplitSeq(u.Path, "/") {
		if segment == "." || segment == ".." {
			return nil, errors.New("the path of the URL holds .., which leads elsewhere")
		}
	}
	return u, nil
}

// cutText returns the beginning of a text, for an error.
func cutText(text string) string {
	if runes := []rune(text); len(runes) > 100 {
		return string(runes[:100]) + "…"
	}
	return text
}

// encodeFields returns fields in the encoding of queries and forms.
func encodeFields(fields []RequestField, env Env) (string, error) {
	var b strings.Builder
	for _, f := range fields {
		values, err := f.Value.Texts(env)
		if err != nil {
			return "", fmt.Errorf("%s: %w", f.Name, err)
		}
		for _, value := range values {
			if b.Len() > 0 {
				b.WriteByte('&')
			}
			b.WriteString(url.QueryEscape(f.Name) + "=" + url.QueryEscape(value))
		}
	}
	return b.String(), nil
}

// encodeJSON returns the JSON of a value, with its digits as they are.
func encodeJSON(v *Value, env Env) (string, error) {
	value, err := v.Eval(env)
	if err != nil {
		return "", err
	}
	if text, ok := value.(string); ok {
		data, err := json.Marshal(text)
		return string(data), err
	}
	if value == nil {
		return "null", nil
	}
	return render(value)
}

// validHeaderValue reports whether a header can have a value.
func validHeaderValue(value string) bool {
	return utf8.ValidString(value) && !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// Target returns the URL that needs permission, as far as it is known with the values
// of env before the run: its beginning with the host, or all of it.
func (h *HTTP) Target(env Env) (target string, known bool) {
	begin := *h.URL
	for i, p := range h.URL.parts {
		if p.expr == nil || !unknown(p.expr.refs, env) {
			continue
		}
		begin.parts = h.URL.parts[:i]
		break
	}
	text, err := (&HTTP{URL: &begin}).text(env)
	whole := len(begin.parts) == len(h.URL.parts)
	if part := urlPart(text); err != nil || !whole && part != urlPath && part != urlQuery {
		return "", false // the step fails for it, if it runs
	}
	u, err := parseURL(text)
	if err != nil {
		return "", false
	}
	return u.String(), true
}

// unknown reports whether values are not known before the run.
func unknown(refs []ref, env Env) bool {
	return slices.ContainsFunc(refs, func(r ref) bool {
		return !env.Knows(r.root, r.name)
	})
}

// Secrets yields the variables of the environment that are read when the request is
// sent.
func (h *HTTP) Secrets() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, header := range h.Headers {
			if header.Env != "" && !yield(header.Env) {
				return
			}
		}
	}
}

func (h *HTTP) refs(yield func(ref) bool) {
	if h == nil {
		return
	}
	all := []*Template{h.URL, h.Body}
	for _, header := range h.Headers {
		all = append(all, header.Text)
	}
	for _, t := range all {
		for r := range t.refs {
			if !yield(r) {
				return
			}
		}
	}
	values := []*Value{h.JSON}
	for _, f := range slices.Concat(h.Query, h.Form) {
		values = append(values, f.Value)
	}
	for _, v := range values {
		if v != nil && !v.walk(yield) {
			return
		}
	}
}

// Uses yields the names that the expressions of the request use.
func (h *HTTP) Uses() iter.Seq2[string, string] { return uses(h.refs) }

// Source returns the method and the URL as they are in the file.
func (h *HTTP) Source() string { return h.Method + " " + h.URL.Source() }

// Identity returns all that is in the file of the request.
func (h *HTTP) Identity() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q %q %q %v %s\n", h.Source(), h.Body.Source(), h.JSON.Source(), h.Expect, h.Output)
	for _, f := range slices.Concat(h.Query, []RequestField{{}}, h.Form) {
		fmt.Fprintf(&b, "%q=%q\n", f.Name, f.Value.Source())
	}
	for _, x := range h.Headers {
		fmt.Fprintf(&b, "%q: %q %q %q\n", x.Name, x.Text.Source(), x.Env, x.Prefix)
	}
	return b.String()
}

// Shape returns what the output is.
func (h *HTTP) Shape() RunOutput { return h.Output }

// Verb returns http.
func (h *HTTP) Verb() string { return "http" }
