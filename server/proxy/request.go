package proxy

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/claude-force/claude-force/llm"
)

// agentName is the agent under which calls of clients are recorded, cached and budgeted.
const agentName = "proxy"

// maxExcerpt is the longest text, in bytes of JSON, that is decoded to be listed with a
// cached answer.
const maxExcerpt = 4 << 10

var (
	errNotJSON   = errors.New("the request's body is not a JSON object")
	errModel     = errors.New("model: it must be a string")
	errMaxTokens = errors.New("max_tokens: it must be a whole number")
)

// blind are the top-level fields that do not change the answer. See also
// [digest.block] and isBilling.
var blind = []string{"stream", "metadata", "cache_control", "service_tier"}

// session headers name the conversation that a request is part of.
var sessionHeaders = []string{"X-Claude-Force-Session", "X-Claude-Code-Session-Id"}

// readRequest returns the request in a body, and how the layers see it. The request's
// parts share the body's memory, unless that has letters as escapes.
func readRequest(body []byte, header http.Header, query string, share sharing) (*llm.Request, error) {
	marks := &marks{text: withoutEscapes(body)}
	r := reading{req: &llm.Request{Agent: agentName, Extra: map[string]json.RawMessage{}}, marks: marks}
	var fields []field
	if !marks.record(func(name string, value json.RawMessage) { fields = append(fields, field{name, value}) }) {
		return nil, errNotJSON
	}
	slices.SortFunc(fields, func(a, b field) int { return strings.Compare(a.name, b.name) })
	h := digest{sha256.New(), marks}
	r.headers(h, header, query)
	for i, f := range fields {
		if i > 0 && f.name == fields[i-1].name {
			return nil, errors.New(f.name + ": it is there twice")
		}
		if err := r.field(h, f); err != nil {
			return nil, err
		}
	}
	r.req.Policy = share.policy(&r, h, header)
	r.req.Wire = &llm.Wire{Body: body, Header: header, Query: query, Stream: r.stream, Digest: [sha256.Size]byte(h.Sum(nil))}
	return r.req, nil
}

type field struct {
	name  string
	value json.RawMessage
}

// reading is a request as it is read.
type reading struct {
	req    *llm.Request
	marks  *marks
	stream bool
	fixed  bool   // the answer is sampled at temperature 0
	user   string // metadata.user_id
	state  bool   // the answer depends on what the service keeps, or changes it
}

// headers adds the headers and the query that may change the answer.
func (r *reading) headers(h digest, header http.Header, query string) {
	for _, value := range header["Anthropic-Beta"] {
		for beta := range strings.SplitSeq(value, ",") {
			if beta = strings.TrimSpace(beta); beta != "" {
				r.req.Betas = append(r.req.Betas, beta)
			}
		}
	}
	betas := slices.Clone(r.req.Betas)
	slices.Sort(betas)
	h.texts("betas", slices.Compact(betas))
	var names []string
	for name := range header {
		if strings.HasPrefix(name, "Anthropic-") && name != "Anthropic-Beta" && name != "Anthropic-Dangerous-Direct-Browser-Access" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		h.texts(name, header[name])
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		values = url.Values{"": {query}}
	}
	values.Del("beta")
	h.texts("query", []string{values.Encode()})
}

// field reads a top-level field.
func (r *reading) field(h digest, f field) error {
	req := r.req
	ok := true
	if string(f.value) == "null" && !slices.Contains(blind, f.name) { // as if it were not there, if the service takes it
		h.text(f.name, f.value)
		return nil
	}
	switch f.name {
	case "model":
		if req.Model, ok = unquote(f.value); !ok {
			return errModel
		}
		h.text(f.name, f.value)
	case "max_tokens":
		n, err := strconv.ParseFloat(string(f.value), 64)
		if err != nil || n < 0 || n != math.Trunc(n) || n > math.MaxInt32 {
			return errMaxTokens
		}
		req.MaxTokens = int(n)
		h.text(f.name, f.value)
	case "stream":
		r.stream = string(f.value) == "true"
	case "metadata":
		r.marks.members(f.value, func(name string, value json.RawMessage) {
			if name == "user_id" {
				r.user, _ = unquote(value)
			}
		})
	case "service_tier":
		req.ServiceTier, _ = unquote(f.value)
	case "system":
		req.System, ok = r.blocks(h, f.name, f.value, false)
	case "messages":
		ok = r.messages(h, f.value)
	case "tools":
		ok = r.tools(h, f.value)
	case "tool_choice":
		req.ToolChoice = f.value
		h.text(f.name, f.value)
	case "thinking":
		req.Thinking = f.value
		h.text(f.name, f.value)
	case "output_config":
		req.OutputConfig = f.value
		h.text(f.name, f.value)
	case "stop_sequences":
		r.marks.elements(f.value, func(value json.RawMessage) {
			if text, ok := unquote(value); ok {
				req.StopSequences = append(req.StopSequences, text)
			}
		})
		h.text(f.name, f.value)
	default:
		r.other(h, f)
	}
	if !ok {
		return errors.New(f.name + ": it is not an array of objects")
	}
	return nil
}

// other reads a field that the layers have no name for.
func (r *reading) other(h digest, f field) {
	r.req.Extra[f.name] = f.value
	switch f.name {
	case "temperature":
		n, err := strconv.ParseFloat(string(f.value), 64)
		r.fixed = err == nil && n == 0
	case "thread", "container", "mcp_servers":
		r.state = string(f.value) != "null"
	}
	if !slices.Contains(blind, f.name) {
		h.text(f.name, f.value)
	}
}

// messages reads the turns of the conversation.
func (r *reading) messages(h digest, value json.RawMessage) bool {
	var turns []json.RawMessage
	if !r.marks.elements(value, func(turn json.RawMessage) { turns = append(turns, turn) }) {
		return false
	}
	h.begin("messages", len(turns))
	for i, turn := range turns {
		var m llm.Message
		ok := true
		n := 0
		whole := r.marks.members(turn, func(name string, value json.RawMessage) {
			n++
			switch name {
			case "content":
				var isContent bool
				m.Content, isContent = r.blocks(h, name, value, i == len(turns)-1)
				ok = ok && isContent
				return
			case "role":
				m.Role, _ = unquote(value)
			}
			h.text(name, value)
		})
		if !whole || !ok {
			return false
		}
		h.begin("end of turn", n)
		r.req.Messages = append(r.req.Messages, m)
	}
	return true
}

// blocks reads content: one text, or an array of blocks. listed says that it is shown
// where answers are listed.
func (r *reading) blocks(h digest, name string, value json.RawMessage, listed bool) ([]llm.Block, bool) {
	if len(value) > 0 && value[0] == '"' {
		h.text(name, value)
		return []llm.Block{textBlock(value)}, true
	}
	var blocks []llm.Block
	ok, hashed := true, 0
	h.begin(name, -1)
	whole := r.marks.elements(value, func(raw json.RawMessage) {
		b := llm.Block{Raw: raw}
		if name == "system" && len(blocks) == 0 && isBilling(raw) {
			blocks = append(blocks, b) // it is sent, and may be paid for
			return
		}
		hashed++
		text, isBlock := h.block(raw, &b)
		ok = ok && isBlock
		if listed && b.Type == llm.BlockText && text != nil && len(raw) <= maxExcerpt {
			b.Raw = nil
			b.Text, _ = unquote(text)
		}
		blocks = append(blocks, b)
	})
	h.begin("end of "+name, hashed)
	return blocks, whole && ok
}

// textBlock returns the block that a text stands for. A long one is not copied.
func textBlock(text json.RawMessage) llm.Block {
	if len(text) <= maxExcerpt {
		plain, _ := unquote(text)
		return llm.TextBlock(plain)
	}
	return llm.Block{Type: llm.BlockText, Raw: text}
}

// isBilling reports whether a block is the one with which Claude Code says who it is, in
// one line at the beginning of the system prompt: the service takes it out of the prompt,
// and it differs from one start to the next.
func isBilling(raw json.RawMessage) bool {
	const begin = "x-anthropic-billing-header:"
	found := false
	if len(raw) > maxExcerpt {
		return false
	}
	members(raw, func(name string, value json.RawMessage) {
		if name == "text" {
			text, _ := unquote(value)
			found = strings.HasPrefix(text, begin) && !strings.ContainsAny(strings.TrimSpace(text), "\r\n")
		}
	})
	return found
}

// tools reads the definitions of tools, whose order does not change the answer.
func (r *reading) tools(h digest, value json.RawMessage) bool {
	ok := true
	whole := r.marks.elements(value, func(raw json.RawMessage) {
		t := llm.Tool{Raw: raw}
		ok = r.marks.members(raw, func(name string, value json.RawMessage) {
			if name == "name" {
				t.Name, _ = unquote(value)
			}
		}) && ok
		r.req.Tools = append(r.req.Tools, t)
	})
	sorted := slices.Clone(r.req.Tools)
	slices.SortStableFunc(sorted, func(a, b llm.Tool) int { return strings.Compare(a.Name, b.Name) })
	h.begin("tools", len(sorted))
	for _, t := range sorted {
		h.block(t.Raw, &llm.Block{})
	}
	return whole && ok
}

// session returns what names the conversation, or "" if nothing does.
func (r *reading) session(header http.Header) string {
	for _, name := range sessionHeaders {
		if id := header.Get(name); id != "" {
			return id
		}
	}
	// Claude Code writes it into the user's id, in one of two forms.
	if _, id, ok := strings.Cut(r.user, "_session_"); ok {
		return id
	}
	var user struct {
		Session string `json:"session_id"`
	}
	if json.Unmarshal([]byte(r.user), &user) != nil {
		return ""
	}
	return user.Session
}

// digest hashes names and values, each behind its length, and marks where lists of them
// end, so that no two requests have the same bytes.
type digest struct {
	hash.Hash
	marks *marks
}

// Kinds of what is hashed.
var (
	hashedText = []byte{0}
	hashedMark = []byte{1}
)

func (h digest) bytes(b []byte) {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(b)))
	h.Write(n[:])
	h.Write(b)
}

func (h digest) text(name string, value []byte) {
	h.Write(hashedText)
	h.bytes([]byte(name))
	h.bytes(value)
}

func (h digest) texts(name string, values []string) {
	h.begin(name, len(values))
	for _, v := range values {
		h.bytes([]byte(v))
	}
}

// begin marks that so many values of a kind follow, or came before.
func (h digest) begin(name string, n int) {
	h.Write(hashedMark)
	h.bytes([]byte(name))
	h.bytes(strconv.AppendInt(nil, int64(n), 10))
}

// block hashes an object without its breakpoint of the prompt cache, and without those
// in the result of a tool. It fills in the type and the breakpoint of b and returns the
// text, as JSON; ok is false if it is no object.
func (h digest) block(raw json.RawMessage, b *llm.Block) (text json.RawMessage, ok bool) {
	return h.nested(raw, b, false)
}

// nested does what block does, for one that may be in the result of a tool. A result in
// such a one is hashed as it is: the service takes none, and a client that sends them a
// million deep would have each looked at as often.
func (h digest) nested(raw json.RawMessage, b *llm.Block, inResult bool) (text json.RawMessage, ok bool) {
	n := 0
	ok = h.marks.members(raw, func(name string, value json.RawMessage) {
		switch name {
		case "cache_control":
			b.CacheControl = value
			return
		case "type":
			b.Type, _ = unquote(value)
		case "text":
			text = value
		case "content":
			var nested []json.RawMessage
			if !inResult && b.Type == llm.BlockToolResult && h.marks.elements(value, func(v json.RawMessage) { nested = append(nested, v) }) {
				h.begin(name, len(nested))
				for _, v := range nested {
					if _, ok := h.nested(v, &llm.Block{}, true); !ok {
						h.text("value", v)
					}
				}
				n++
				return
			}
		}
		n++
		h.text(name, value)
	})
	h.begin("end", n)
	return text, ok
}
