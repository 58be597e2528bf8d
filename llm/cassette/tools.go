package cassette

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/claude-force/claude-force/internal/credential"
	"github.com/claude-force/claude-force/internal/openfile"
	"github.com/claude-force/claude-force/llm"
)

// Offer is what an agent was given to act with in one task: the tools, and the
// texts that come with them.
type Offer struct {
	Tools   []llm.Tool
	Context []string
}

// ToolCall names a call of a tool, which the answer to a request made.
type ToolCall struct {
	Agent   string
	Request llm.Key   // of the request, from [RequestKey]
	Use     llm.Block // the tool_use block
}

// ToolResult is what a call of a tool gave: the blocks that answer it, the
// tool_result first.
type ToolResult struct {
	Blocks   []llm.Block
	Denied   bool // it did not run, since it may not
	Duration time.Duration

	// Turns and ToolCalls are those of the agents that the call started.
	Turns     int
	ToolCalls int
}

// RequestKey returns the key by which calls of tools are found that the answer to
// req makes. It is the same for a request and for its redacted form.
func RequestKey(req *llm.Request) (llm.Key, error) {
	stored, err := storeRequest(req)
	return stored.key, err
}

// Kinds of files of tools.
const (
	kindOffer = "offer" // what an agent was offered in a task
	kindCall  = "call"  // a call of a tool
	kindNotes = "notes" // what followed an answer and is the result of no call
)

// toolKey identifies what a file of a tool holds.
type toolKey struct{ kind, key, id string }

// toolFile is the content of a file of a tool.
type toolFile struct {
	Kind  string `json:"kind"`
	Agent string `json:"agent,omitempty"`
	Tool  string `json:"tool,omitempty"`
	// Key is that of the request whose answer made the call, or that of the task.
	Key string `json:"key"`
	ID  string `json:"id,omitempty"` // of the tool_use block
	// Nth is the number of the first repetition that gave this, from 1.
	Nth             int             `json:"nth"`
	Input           json.RawMessage `json:"input,omitempty"`
	Result          []llm.Block     `json:"result,omitempty"`
	IsError         bool            `json:"is_error,omitempty"`
	Denied          bool            `json:"denied,omitempty"`
	Turns           int             `json:"turns,omitempty"`
	ToolCalls       int             `json:"tool_calls,omitempty"`
	DurationSeconds float64         `json:"duration_seconds,omitempty"`
	Tools           []toolForm      `json:"tools,omitempty"`
	Context         []string        `json:"context,omitempty"`
}

func (f *toolFile) key() toolKey { return toolKey{f.Kind, f.Key, f.ID} }

// offerKey returns the key of a task.
func offerKey(agent, prompt string) string {
	sum := sha256.Sum256([]byte(credential.Redact(agent) + "\x00" + credential.Redact(prompt)))
	return hex.EncodeToString(sum[:])
}

// Offer records what an agent is given to act with in a task.
func (r *Recorder) Offer(agent, prompt string, offer Offer) {
	f := toolFile{Kind: kindOffer, Agent: agent, Key: offerKey(agent, prompt), Context: offer.Context}
	for _, t := range offer.Tools {
		f.Tools = append(f.Tools, toolForm{t.Name, t})
	}
	f.Nth = r.startTool(f.key())
	r.finishTool(f)
}

// StartTool begins a call of a tool and returns the function that records its
// result. A call that was stopped has none: do not call it then.
func (r *Recorder) StartTool(call ToolCall) (end func(ToolResult)) {
	f := toolFile{Kind: kindCall, Agent: call.Agent, Tool: call.Use.Name, Key: call.Request.String(), ID: call.Use.ID, Input: call.Use.Input}
	if !json.Valid(f.Input) {
		f.Input, _ = json.Marshal(string(call.Use.Input)) // a string is always encoded
	}
	f.Nth = r.startTool(f.key())
	return func(res ToolResult) {
		f.Result, f.Denied, f.DurationSeconds = res.Blocks, res.Denied, res.Duration.Seconds()
		f.Turns, f.ToolCalls = res.Turns, res.ToolCalls
		f.IsError = len(res.Blocks) > 0 && res.Blocks[0].Error
		r.finishTool(f)
	}
}

// Notes records blocks that followed the answer to a request and are the result of
// no call.
func (r *Recorder) Notes(agent string, request llm.Key, blocks []llm.Block) {
	f := toolFile{Kind: kindNotes, Agent: agent, Key: request.String(), Result: blocks}
	f.Nth = r.startTool(f.key())
	r.finishTool(f)
}

// startTool counts a repetition.
func (r *Recorder) startTool(key toolKey) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.tools[key]
	if h == nil {
		h = &history{}
		r.tools[key] = h
	}
	h.started++
	return h.started
}

// finishTool writes a file, unless the player would give the same without it.
func (r *Recorder) finishTool(f toolFile) {
	data, err := encode([]any{f.Result, f.Tools, f.Context})
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	if err == nil && r.manifest.Format < formatVersion {
		r.manifest.Format = formatVersion
		err = r.writeManifest()
	}
	if err == nil {
		err = r.tools[f.key()].add(&outcome{nth: f.Nth, digest: sha256.Sum256(data)}, toolFolder{r, f})
	}
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("the recording in %s is missing a call of a tool: %w", r.root.Name(), err)
	}
}

// toolFolder writes the files of one call of a tool.
type toolFolder struct {
	r    *Recorder
	file toolFile // what has just ended
}

func (f toolFolder) write() (name string, err error) { return f.put(f.file) }

func (f toolFolder) repeat(name string, nth int) (string, error) {
	data, err := openfile.ReadIn(f.r.root, path.Join(toolsDir, name), maxFile)
	if err != nil {
		return "", err
	}
	var file toolFile
	if err := json.Unmarshal(data, &file); err != nil {
		return "", err
	}
	file.Nth = nth
	return f.put(file)
}

func (f toolFolder) put(file toolFile) (string, error) {
	data, err := encode(file)
	if err != nil {
		return "", err
	}
	f.r.number++
	name := fmt.Sprintf("%04d-%s-%s.json", f.r.number, cmp.Or(namePart(cmp.Or(file.Tool, file.Kind)), "tool"), file.Key[:8])
	return name, f.r.write(path.Join(toolsDir, name), data)
}

func (f toolFolder) remove(name string) error { return f.r.root.Remove(path.Join(toolsDir, name)) }

// toolRecords are the files of tools of a cassette.
type toolRecords struct {
	list   []*toolFile
	byKey  map[toolKey][]*toolFile // by nth
	counts map[toolKey]int         // guarded by the player's mu
}

func readTools(root *os.Root, names []string) (toolRecords, error) {
	t := toolRecords{byKey: map[toolKey][]*toolFile{}, counts: map[toolKey]int{}}
	for _, name := range names {
		file := filepath.Join(root.Name(), toolsDir, name)
		data, err := openfile.ReadIn(root, path.Join(toolsDir, name), maxFile)
		if err != nil {
			return t, fmt.Errorf("opening a cassette: %w", err)
		}
		f, err := parseTool(data)
		if err != nil {
			return t, damaged(file, data, err)
		}
		t.list = append(t.list, f)
		t.byKey[f.key()] = append(t.byKey[f.key()], f)
	}
	for _, files := range t.byKey {
		slices.SortStableFunc(files, func(a, b *toolFile) int { return a.Nth - b.Nth })
	}
	return t, nil
}

func parseTool(data []byte) (*toolFile, error) {
	var f toolFile
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, err
	}
	switch {
	case f.Kind != kindOffer && f.Kind != kindCall && f.Kind != kindNotes:
		return nil, fmt.Errorf("its kind %q is not known", f.Kind)
	case f.Kind == kindCall && len(f.Result) == 0:
		return nil, errors.New("it has no result")
	case f.Key == "":
		return nil, errors.New("it has no key")
	}
	f.Input = compact(f.Input)
	for i := range f.Result {
		b := &f.Result[i]
		b.Input, b.Raw = compact(b.Input), compact(b.Raw)
	}
	return &f, nil
}

// nextTool counts a repetition and returns the file to replay for it, or nil.
func (p *Player) nextTool(key toolKey) *toolFile {
	files := p.tools.byKey[key]
	if len(files) == 0 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tools.counts[key]++
	later, _ := slices.BinarySearchFunc(files, p.tools.counts[key]+1, func(f *toolFile, nth int) int { return f.Nth - nth })
	return files[max(later-1, 0)]
}

// Offer returns what an agent is given to act with in a task: what it was given in
// the recording, for this task or else for the first of the agent's tasks. ok is
// false if the agent had no tools.
func (p *Player) Offer(agent, prompt string) (_ Offer, ok bool) {
	var f *toolFile
	if known := p.tools.byKey[toolKey{kind: kindOffer, key: offerKey(agent, prompt)}]; len(known) > 0 {
		f = known[0]
	} else {
		i := slices.IndexFunc(p.tools.list, func(f *toolFile) bool { return f.Kind == kindOffer && f.Agent == agent })
		if i < 0 {
			return Offer{}, false
		}
		f = p.tools.list[i]
	}
	offer := Offer{Context: slices.Clone(f.Context)}
	for _, t := range f.Tools {
		offer.Tools = append(offer.Tools, t.Definition)
	}
	return offer, true
}

// Tool returns the recorded result of a call of a tool. A call that is not in the
// cassette is an error with [llm.CodeInvalid].
func (p *Player) Tool(call ToolCall) (ToolResult, error) {
	f := p.nextTool(toolKey{kindCall, call.Request.String(), call.Use.ID})
	if f == nil || f.Tool != call.Use.Name {
		p.mu.Lock()
		p.missed++
		p.mu.Unlock()
		return ToolResult{}, llm.NewError(llm.CodeInvalid, p.toolNotFound(call), nil)
	}
	return ToolResult{
		Blocks: slices.Clone(f.Result), Denied: f.Denied, Turns: f.Turns, ToolCalls: f.ToolCalls,
		Duration: time.Duration(f.DurationSeconds * float64(time.Second)),
	}, nil
}

// toolNotFound returns the message for a call of a tool that is not in the cassette.
func (p *Player) toolNotFound(call ToolCall) string {
	name := "a call of the tool " + call.Use.Name
	if call.Agent != "" {
		name += " by agent " + call.Agent
	}
	var recorded []string
	for _, f := range p.tools.list {
		if f.Kind == kindCall && f.Key == call.Request.String() {
			recorded = append(recorded, f.Tool+" "+f.ID)
		}
	}
	if recorded == nil {
		return fmt.Sprintf("%s is not in the cassette in %s, nor is another of the same answer; a replay runs no tool: record again", name, p.dir)
	}
	return fmt.Sprintf("%s (%s) is not in the cassette in %s, which has of the same answer: %s; a replay runs no tool: record again",
		name, call.Use.ID, p.dir, strings.Join(recorded, ", "))
}

// Notes returns the recorded blocks that follow the answer to a request and are the
// result of no call; nil if there are none.
func (p *Player) Notes(request llm.Key) []llm.Block {
	if f := p.nextTool(toolKey{kind: kindNotes, key: request.String()}); f != nil {
		return slices.Clone(f.Result)
	}
	return nil
}
