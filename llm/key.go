package llm

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"maps"
	"slices"
	"strings"
)

// keyVersion changes with the encoding below, so that old answers are never
// found under new keys.
const keyVersion = "claude-force/key/1"

// Key is the content address of a call.
type Key [sha256.Size]byte

// String returns the key in hexadecimal, 64 characters.
func (k Key) String() string { return hex.EncodeToString(k[:]) }

// ParseKey parses a key written by [Key.String].
func ParseKey(s string) (Key, error) {
	var k Key
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) != len(k) {
		return Key{}, fmt.Errorf("a cache key is %d hexadecimal digits, %q is not", 2*len(k), s)
	}
	return Key(raw), nil
}

// MarshalText returns the key as [Key.String] writes it.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what [Key.MarshalText] returned.
func (k *Key) UnmarshalText(text []byte) (err error) {
	*k, err = ParseKey(string(text))
	return err
}

// Keyer computes keys for the calls of one pipeline. It is safe for
// concurrent use.
type Keyer struct {
	// Provider is the service ("anthropic", "bedrock", "vertex", a base URL).
	Provider string
	// APIVersion is the anthropic-version header's value.
	APIVersion string
	// Namespace separates the answers of credentials; see [Namespace].
	Namespace string
}

// Namespace returns a name for a credential that does not reveal it: the first
// 16 bytes of an HMAC-SHA-256 over it, in hexadecimal. An empty credential has an
// empty namespace.
func Namespace(credential string) string {
	if credential == "" {
		return ""
	}
	mac := hmac.New(sha256.New, []byte("claude-force/namespace/1"))
	mac.Write([]byte(credential))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// Key returns the content address of req: SHA-256 over length-prefixed fields in
// a fixed order. In it: the key version, provider, namespace, API version,
// sorted betas, model, system, messages, tools sorted by name, tool_choice,
// max_tokens, stop_sequences, thinking, output_config and every field of
// Extra, Sample and Scope. Not in it: whether the answer is streamed, metadata, cache_control,
// the service tier, the agent's name. The top-level keys of an opaque JSON
// block are sorted; nested order counts, since it reaches the model.
//
// Of a request with a Wire its digest takes the place of the betas and all that
// follows: such a request shares no answers with others, which have no bytes to repeat.
//
// It fails only if the request holds something that is not JSON.
func (k Keyer) Key(req *Request) (Key, error) {
	h := fieldHash{Hash: sha256.New()}
	h.text("version", keyVersion)
	h.text("provider", k.Provider)
	h.text("namespace", k.Namespace)
	h.text("api_version", k.APIVersion)
	if req.Scope != "" {
		h.text("scope", req.Scope)
	}
	if req.Wire != nil {
		h.text("wire", string(req.Wire.Digest[:]))
		return Key(h.Sum(nil)), nil
	}
	if err := h.request(req); err != nil {
		return Key{}, err
	}
	return Key(h.Sum(nil)), nil
}

// request hashes everything of req that is in its key, part after part.
func (h fieldHash) request(req *Request) error {
	h.begin(part{group: groupBetas, name: "betas"})
	betas := slices.Clone(req.Betas)
	slices.Sort(betas)
	h.texts("betas", slices.Compact(betas))
	h.begin(part{group: groupModel, name: "model"})
	h.text("model", req.Model)
	h.begin(part{group: groupSystem, name: "system"})
	if err := h.blocks("system", req.System); err != nil {
		return err
	}
	h.count("messages", len(req.Messages))
	for i, m := range req.Messages {
		h.begin(part{group: groupMessages, index: i, name: fmt.Sprintf("message %d (%s)", i+1, m.Role)})
		if err := h.blocks(m.Role, m.Content); err != nil {
			return err
		}
	}
	tools := sortedTools(req)
	h.count("tools", len(tools))
	for i, t := range tools {
		h.begin(toolPart(tools, i))
		raw, err := json.Marshal(t)
		if err != nil {
			return fmt.Errorf("hashing tool %s: %w", t.Name, err)
		}
		if err := h.object(t.Name, raw); err != nil {
			return err
		}
	}
	h.begin(part{group: groupMaxTokens, name: "max_tokens"})
	h.number("max_tokens", req.MaxTokens)
	h.begin(part{group: groupStopSequences, name: "stop_sequences"})
	h.texts("stop_sequences", req.StopSequences)
	for i, f := range opaque(req) {
		h.begin(part{group: groupOpaque, index: i, name: f.name})
		if err := h.object(f.name, f.value); err != nil {
			return err
		}
	}
	h.count("extra", len(req.Extra))
	for _, name := range slices.Sorted(maps.Keys(req.Extra)) {
		h.begin(part{group: groupExtra, key: name, name: "extra." + name})
		if err := h.object("extra."+name, req.Extra[name]); err != nil {
			return err
		}
	}
	if req.Sample > 0 {
		h.begin(part{group: groupSample, name: "sample"})
		h.number("sample", req.Sample)
	}
	h.begin(part{})
	return nil
}

// sortedTools returns the tools in the order in which they are hashed.
func sortedTools(req *Request) []Tool {
	tools := slices.Clone(req.Tools)
	slices.SortStableFunc(tools, func(a, b Tool) int { return strings.Compare(a.Name, b.Name) })
	return tools
}

// namedJSON is a field of the request that is sent unchanged.
type namedJSON struct {
	name  string
	value json.RawMessage
}

// opaque returns the JSON fields of req in the order of the key.
func opaque(req *Request) []namedJSON {
	return []namedJSON{
		{"tool_choice", req.ToolChoice},
		{"thinking", req.Thinking},
		{"output_config", req.OutputConfig},
	}
}

// fieldHash writes fields as name and value, each behind its length, so that
// no two lists of fields have the same bytes.
type fieldHash struct {
	hash.Hash

	// parts, when set, is called before each part of a request with that part,
	// and after the last one with the zero part.
	parts func(part)
}

func (h fieldHash) begin(p part) {
	if h.parts != nil {
		h.parts(p)
	}
}

// count hashes how many parts of a kind follow. A list of parts shows that
// anyway, so the number belongs to no part.
func (h fieldHash) count(name string, n int) {
	h.begin(part{})
	h.number(name, n)
}

func (h fieldHash) bytes(b []byte) {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(b)))
	h.Write(n[:])
	h.Write(b)
}

func (h fieldHash) text(name, value string) {
	h.bytes([]byte(name))
	h.bytes([]byte(value))
}

func (h fieldHash) number(name string, n int) { h.text(name, fmt.Sprint(n)) }

func (h fieldHash) texts(name string, values []string) {
	h.number(name, len(values))
	for _, v := range values {
		h.bytes([]byte(v))
	}
}

func (h fieldHash) blocks(name string, blocks []Block) error {
	h.number(name, len(blocks))
	for _, b := range blocks {
		raw, err := json.Marshal(b)
		if err != nil {
			return fmt.Errorf("hashing %s: %w", name, err)
		}
		if err := h.object(b.Type, raw); err != nil {
			return err
		}
	}
	return nil
}

// object hashes JSON in its canonical form.
func (h fieldHash) object(name string, raw json.RawMessage) error {
	canon, err := canonical(raw)
	if err != nil {
		return fmt.Errorf("hashing %s: %w", name, err)
	}
	h.bytes([]byte(name))
	h.bytes(canon)
	return nil
}

// canonical returns JSON compacted, an object with its top-level keys sorted and
// without cache_control.
func canonical(raw json.RawMessage) ([]byte, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) == nil {
		delete(fields, "cache_control")
		return json.Marshal(fields) // compact, with sorted keys
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		return nil, err
	}
	return compact.Bytes(), nil
}
