package promptcache

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/claude-force/claude-force/llm"
)

// ttl is how long a breakpoint asks to keep what comes before it.
type ttl int

const (
	none ttl = iota
	minutes
	hour
)

func (t ttl) lifetime() time.Duration {
	switch t {
	case minutes:
		return 5 * time.Minute
	case hour:
		return time.Hour
	}
	return 0
}

var (
	controlMinutes = json.RawMessage(`{"type":"ephemeral"}`)
	controlHour    = json.RawMessage(`{"type":"ephemeral","ttl":"1h"}`)
)

func (t ttl) control() json.RawMessage {
	if t == hour {
		return controlHour
	}
	return controlMinutes
}

// parseTTL returns the lifetime of a breakpoint that the caller set.
func parseTTL(control json.RawMessage) ttl {
	var v struct {
		TTL string `json:"ttl"`
	}
	if len(control) == 0 || string(control) == "null" {
		return none
	}
	if json.Unmarshal(control, &v) == nil && v.TTL == "1h" {
		return hour
	}
	return minutes
}

// maxBreakpoints is the most that the service takes.
const maxBreakpoints = 4

// point is a place in a prompt where a breakpoint can be.
type point struct {
	place
	hash   uint64 // of all before it
	tokens int    // of all before it, estimated
	stable bool   // announced calls share all before it
	next   bool   // the next call of the same conversation begins with all before it
	set    ttl    // the caller's own breakpoint
}

// place is a tool, a block of the system prompt, or a block of a message:
// message is inTools, inSystem or the message's index.
type place struct{ message, index int }

const (
	inTools  = -2
	inSystem = -1
)

func (p place) before(q place) bool {
	return p.message < q.message || p.message == q.message && p.index < q.index
}

// prompt is a request as the service's cache sees it.
type prompt struct {
	points []point // those that reach the model's minimum, in order
	set    []point // all breakpoints of the caller, in order
	auto   ttl     // the request's own, which the service places at the end
	end    place
}

// Of a long conversation, only the ends of the last turns matter.
const (
	firstBlocks = 16 // of the first message that are points
	lastTurns   = 4  // whose ends are points
)

// seed makes hashes differ between processes, so that no one can construct two
// prefixes look like one.
var seed = maphash.MakeSeed()

// read finds the points of a request's prompt.
func read(req *llm.Request, prices *llm.PriceTable) prompt {
	p := prompt{auto: parseTTL(req.Extra["cache_control"])}
	s := scan{model: req.Model, prices: prices}
	minimum := prices.CacheMinimum(req.Model)
	s.hash.SetSeed(seed)
	s.variant(req)
	last := len(req.Messages) - 1
	add := func(at place, candidate, stable bool, set ttl) {
		p.end = at
		next := req.Continues && at.message == last && at.index == len(req.Messages[last].Content)-1
		here := point{place: at, hash: s.hash.Sum64(), tokens: s.tokens, stable: stable, next: next, set: set}
		if set != none {
			p.set = append(p.set, here)
		}
		if (candidate || set != none) && here.tokens >= minimum {
			p.points = append(p.points, here)
		}
	}
	for i, t := range req.Tools {
		s.text(t.Name, t.Description, string(t.InputSchema), string(t.Raw))
		last := i == len(req.Tools)-1
		add(place{inTools, i}, last, last, setIn(t.Raw))
	}
	for i, b := range req.System {
		s.block(b)
		add(place{inSystem, i}, markable(b), i == len(req.System)-1, setOn(b))
	}
	shared := true
	for i, m := range req.Messages {
		s.text(m.Role)
		for j, b := range m.Content {
			s.block(b)
			shared = shared && i == 0 && b.Shared
			end := j == len(m.Content)-1 && i >= len(req.Messages)-lastTurns
			add(place{i, j}, markable(b) && (end || i == 0 && j < firstBlocks), shared, setOn(b))
		}
	}
	return p
}

// markable reports whether a block can carry a breakpoint.
func markable(b llm.Block) bool {
	switch {
	case strings.Contains(b.Type, "thinking"):
		return false
	case b.Raw != nil:
		return bytes.HasSuffix(bytes.TrimSpace(b.Raw), []byte{'}'}) && len(b.Raw) > len("{}")
	}
	return b.Type != llm.BlockText || strings.TrimSpace(b.Text) != ""
}

func setOn(b llm.Block) ttl {
	if b.Raw != nil {
		return setIn(b.Raw)
	}
	return parseTTL(b.CacheControl)
}

func setIn(raw json.RawMessage) ttl {
	var v struct {
		CacheControl json.RawMessage `json:"cache_control"`
	}
	if !bytes.Contains(raw, []byte(`"cache_control"`)) || json.Unmarshal(raw, &v) != nil {
		return none
	}
	return parseTTL(v.CacheControl)
}

// scan hashes and counts a prompt from its beginning.
type scan struct {
	model  string
	prices *llm.PriceTable
	hash   maphash.Hash
	tokens int
}

// variant hashes what else the service's cache depends on.
func (s *scan) variant(req *llm.Request) {
	s.text(req.Model, string(req.ToolChoice), string(req.Thinking), string(req.OutputConfig))
	s.text(slices.Sorted(slices.Values(req.Betas))...)
	for _, name := range slices.Sorted(maps.Keys(req.Extra)) {
		s.text(name, string(req.Extra[name]))
	}
	s.tokens = 0
}

func (s *scan) block(b llm.Block) {
	failed := ""
	if b.Error {
		failed = "error"
	}
	before := s.tokens
	s.text(b.Type, b.Text, b.ID, b.Name, string(b.Input), failed, b.Signature, string(b.Raw))
	if b.Media != nil {
		s.tokens = before + s.prices.MediaTokens(s.model, b.Media)
	}
}

// text hashes texts, each behind its length, and counts them.
func (s *scan) text(parts ...string) {
	var n [8]byte
	characters := 0
	for _, part := range parts {
		binary.LittleEndian.PutUint64(n[:], uint64(len(part)))
		s.hash.Write(n[:])
		s.hash.WriteString(part)
		characters += utf8.RuneCountInString(part)
	}
	s.tokens += s.prices.EstimateTokens(s.model, characters)
}

// mark returns req with the breakpoints that marks gives to the points, as far as
// the service takes them. req itself is not changed.
func (p *prompt) mark(req *llm.Request, marks []ttl) *llm.Request {
	chosen := p.choose(marks)
	if len(chosen) == 0 {
		return req
	}
	out := *req
	out.Tools, out.System, out.Messages = slices.Clone(req.Tools), slices.Clone(req.System), slices.Clone(req.Messages)
	for i := range out.Messages {
		if slices.ContainsFunc(chosen, func(c point) bool { return c.message == i }) {
			out.Messages[i].Content = slices.Clone(out.Messages[i].Content)
		}
	}
	for _, c := range chosen {
		switch control := c.set.control(); c.message {
		case inTools:
			markTool(&out.Tools[c.index], control)
		case inSystem:
			markBlock(&out.System[c.index], control)
		default:
			markBlock(&out.Messages[c.message].Content[c.index], control)
		}
	}
	return &out
}

// choose picks the breakpoints to add, in order: the last of those that pay,
// since it covers all before it, then from the beginning, where most calls
// meet. Their lifetimes never increase from one breakpoint to the next.
func (p *prompt) choose(marks []ttl) []point {
	free := maxBreakpoints - len(p.set)
	if p.auto != none {
		free--
	}
	var paying, chosen []point
	for i, t := range marks {
		// The service marks the end itself if the request says so.
		here := p.points[i]
		if t != none && here.set == none && (p.auto == none || here.place != p.end) {
			here.set = t
			paying = append(paying, here)
		}
	}
	if free <= 0 || len(paying) == 0 {
		return nil
	}
	last := len(paying) - 1
	first := min(free-1, last)
	chosen = slices.Clone(paying[:first])
	if paying[last].next && first < last && first > 1 {
		// The service looks for an entry among the last 20 blocks before a
		// breakpoint; a turn can have more, so the end of the last one stays.
		chosen[first-1] = paying[last-1]
	}
	chosen = append(chosen, paying[last])
	need := p.auto
	for i := len(chosen) - 1; i >= 0; i-- {
		c := &chosen[i]
		for _, s := range p.set {
			if c.before(s.place) {
				need = max(need, s.set)
			}
		}
		if need == hour {
			c.set = hour
		}
		need = max(need, c.set)
	}
	for i := range chosen {
		for _, s := range p.set {
			if s.set == minutes && s.before(chosen[i].place) {
				chosen[i].set = minutes
			}
		}
	}
	return chosen
}

func markBlock(b *llm.Block, control json.RawMessage) {
	if b.Raw == nil {
		b.CacheControl = control
		return
	}
	b.Raw = withControl(b.Raw, control)
}

func markTool(t *llm.Tool, control json.RawMessage) {
	raw, err := json.Marshal(*t)
	if err != nil {
		return // the provider will say what is wrong with it
	}
	t.Raw = withControl(raw, control)
}

// withControl adds a breakpoint to an object of JSON that has none.
func withControl(object, control json.RawMessage) json.RawMessage {
	body, ok := bytes.CutSuffix(bytes.TrimSpace(object), []byte{'}'})
	if !ok {
		return object
	}
	return slices.Concat(body, []byte(`,"cache_control":`), control, []byte{'}'})
}
