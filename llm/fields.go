package llm

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// Field is a named part of a request, with a digest of its content.
type Field struct {
	Name   string // "model", "system", "message 1 (user)", "tool grep", "extra.container"
	Digest string // the first 16 hexadecimal digits of a SHA-256
}

// Fields returns the parts of req that are in its key, in the order of the key;
// see [Keyer.Key]. Two requests have equal fields if and only if a Keyer gives
// them the same key.
//
// It fails only if the request holds something that is not JSON.
func Fields(req *Request) ([]Field, error) {
	parts, err := hashParts(req)
	if err != nil {
		return nil, err
	}
	fields := make([]Field, len(parts))
	for i, p := range parts {
		fields[i] = Field{Name: p.name, Digest: hex.EncodeToString(p.digest[:8])}
	}
	return fields, nil
}

// Diff returns the parts of now that differ from those of was, in order, each
// with a hint of the difference:
//
//	model: claude-haiku-5-5, was claude-sonnet-5-5
//	message 1 (user): line 3 is "Mind the gap.", was "Mind the step."
//	tool grep: added
//
// It is empty if and only if a [Keyer] gives both the same key. At most 60
// characters of a prompt are quoted in each hint.
func Diff(now, was *Request) []string {
	a, err := hashParts(now)
	if err != nil {
		return []string{fmt.Sprintf("the request cannot be compared: %v", err)}
	}
	b, err := hashParts(was)
	if err != nil {
		return []string{fmt.Sprintf("the previous request cannot be compared: %v", err)}
	}
	var diff []string
	for len(a) > 0 || len(b) > 0 {
		switch order := compareParts(a, b); {
		case order < 0:
			diff = append(diff, a[0].name+": added")
			a = a[1:]
		case order > 0:
			diff = append(diff, b[0].name+": missing")
			b = b[1:]
		default:
			if a[0].digest != b[0].digest {
				diff = append(diff, a[0].name+": "+hint(a[0].part, now, was))
			}
			a, b = a[1:], b[1:]
		}
	}
	return diff
}

// group is a kind of part, in the order of the key.
type group int

const (
	groupNone group = iota
	groupBetas
	groupModel
	groupSystem
	groupMessages
	groupTools
	groupMaxTokens
	groupStopSequences
	groupOpaque
	groupExtra
	groupSample
)

// part identifies a part of a request. Its group, key and index are those of the
// same part of another request.
type part struct {
	group group
	key   string // the name of a tool or of an extra field
	index int    // of a message, of an opaque field, among tools of one name
	name  string // for people
}

// toolPart returns the part of the i-th of the sorted tools.
func toolPart(tools []Tool, i int) part {
	p := part{group: groupTools, key: tools[i].Name, name: "tool " + tools[i].Name}
	for p.index < i && tools[i-p.index-1].Name == p.key {
		p.index++
	}
	if p.index > 0 {
		p.name += fmt.Sprintf(" (%d)", p.index+1)
	}
	return p
}

type hashedPart struct {
	part
	digest [sha256.Size]byte
}

// hashParts splits the bytes that are hashed for the key into parts.
func hashParts(req *Request) ([]hashedPart, error) {
	var parts []hashedPart
	var current part
	h := fieldHash{Hash: sha256.New()}
	h.parts = func(next part) {
		if current.group != groupNone {
			parts = append(parts, hashedPart{current, [sha256.Size]byte(h.Sum(nil))})
		}
		h.Reset()
		current = next
	}
	if err := h.request(req); err != nil {
		return nil, err
	}
	return parts, nil
}

// compareParts returns -1 if the first of a comes before the first of b, 1 if it
// comes after it, and 0 if it is the same part of another request.
func compareParts(a, b []hashedPart) int {
	switch {
	case len(b) == 0:
		return -1
	case len(a) == 0:
		return 1
	}
	return cmp.Or(
		cmp.Compare(a[0].group, b[0].group),
		cmp.Compare(a[0].key, b[0].key),
		cmp.Compare(a[0].index, b[0].index))
}
