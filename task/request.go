package task

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/claude-force/claude-force/agent"
	"github.com/claude-force/claude-force/attach"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/llm/structured"
	"github.com/claude-force/claude-force/modelselect"
)

// Request returns the first request that a task amounts to, and how its model was
// selected. The error is a [fault.InputError] for a task that cannot be run: an
// unknown agent, files that are not there, an empty prompt.
func (r *Runner) Request(ctx context.Context, t Task) (*llm.Request, Selection, error) {
	req, model, _, err := r.prepare(ctx, t)
	return req, model, err
}

// prepare does what Request does, and returns the tools of the task too; nil if its
// agent has none.
func (r *Runner) prepare(ctx context.Context, t Task) (*llm.Request, Selection, *Tools, error) {
	a, err := r.agent(ctx, t)
	if err != nil {
		return nil, Selection{}, nil, err
	}
	shared, media, err := r.sharedContext(ctx, t)
	if err != nil {
		return nil, Selection{}, nil, err
	}
	if strings.TrimSpace(t.Prompt) == "" {
		return nil, Selection{}, nil, fault.Input(fmt.Errorf("the task for %s is empty; say what it should do", t.Agent))
	}
	for _, text := range append(slices.Clip(shared), t.Prompt) {
		if !utf8.ValidString(text) { // JSON would replace what is not
			return nil, Selection{}, nil, fault.Input(fmt.Errorf("the task for %s, or the name of a file of it, is not UTF-8 text; convert it", t.Agent))
		}
	}
	model, err := r.selectModel(ctx, t, a, shared)
	if err != nil {
		return nil, Selection{}, nil, err
	}
	if err := r.checkExists(t, a, model.ID); err != nil {
		return nil, Selection{}, nil, err
	}
	tools, err := r.equip(ctx, t, a, model.ID)
	if err != nil {
		return nil, Selection{}, nil, err
	}
	before := 0 // texts that come before the task's own
	if tools != nil && len(t.Conversation) == 0 {
		before = len(tools.Context)
		shared = slices.Concat(tools.Context, shared)
	}
	req := &llm.Request{
		Model:     model.ID,
		Messages:  append(slices.Clip(t.Conversation), llm.UserTurn(shared, t.Prompt)),
		MaxTokens: r.maxTokens(t, a, model.ID),
		Agent:     a.Name,
		TTL:       a.CacheTTL,
		Policy:    r.policy(t, a),
		Once:      t.NoRetry,
		Batch:     t.Batch,
		Sample:    t.Sample,
		Continues: t.Keep != nil,
	}
	turn := &req.Messages[len(t.Conversation)]
	ownFrom := max(len(t.SharedContext)-t.Own, 0)
	at := len(llm.UserTurn(shared[:before+ownFrom], "").Content)
	for i := range len(llm.UserTurn(t.SharedContext[ownFrom:], "").Content) {
		turn.Content[at+i].Shared = false
	}
	if len(media) > 0 {
		if err := r.checkMedia(model.ID); err != nil {
			return nil, Selection{}, nil, err
		}
		insertMedia(turn, at, media, t.OwnMedia)
	}
	if a.Prompt != "" {
		req.System = []llm.Block{llm.TextBlock(a.Prompt)}
	}
	r.recordOffer(a.Name, t, tools)
	if tools != nil {
		req.Tools = tools.Set.Definitions()
	}
	if t.Schema != nil { // before anything is paid for
		if _, err := structured.Compile(t.Schema); err != nil {
			return nil, Selection{}, nil, fault.Input(fmt.Errorf("reading the schema of the task for %s: %w", t.Agent, err))
		}
	}
	if err := r.configureModel(req, t); err != nil {
		return nil, Selection{}, nil, err
	}
	if err := configureOutput(req, cmp.Or(t.Effort, a.Effort), t.Schema); err != nil {
		return nil, Selection{}, nil, fmt.Errorf("encoding the request of agent %s: %w", a.Name, err)
	}
	if tools != nil && len(t.Conversation) > 0 {
		tokens := 0
		for _, m := range t.Conversation {
			tokens += tokensOf(m.Content)
		}
		if err := r.window(req).edit(req, tokens); err != nil {
			return nil, Selection{}, nil, err
		}
	}
	return req, model, tools, nil
}

// insertMedia puts images and documents into a user turn: those that other tasks are
// given too at a place behind the texts that they are given, the last own ones before the
// task.
func insertMedia(turn *llm.Message, at int, media []llm.Block, own int) {
	common := slices.Clone(media[:max(len(media)-own, 0)])
	for i := range common {
		common[i].Shared = true
	}
	task := len(turn.Content) - 1
	turn.Content = slices.Insert(turn.Content, task, media[len(common):]...)
	turn.Content = slices.Insert(turn.Content, at, common...)
}

// checkMedia returns an error if a model takes no images and documents.
func (r *Runner) checkMedia(model string) error {
	if info, ok := r.Prices.Info(model); ok && info.TextOnly {
		return fault.Input(fmt.Errorf("%s takes text only, and the files have an image or a document; choose another model", model))
	}
	return nil
}

// sharedContext returns the material that comes before a task's prompt: its own,
// then its files, of which images and documents are blocks.
func (r *Runner) sharedContext(ctx context.Context, t Task) ([]string, []llm.Block, error) {
	attached := t.Attachments
	if len(t.Files) > 0 {
		if r.Files == nil {
			return nil, nil, fault.Input(errors.New("this runner has no folder to read files from"))
		}
		files, err := r.Files.Read(ctx, t.Files, attach.Limits{Media: true, OnNote: func(text string) { r.notice(ctx, text) }})
		if err != nil {
			return nil, nil, fault.Input(err)
		}
		attached = slices.Concat(attached, files)
	}
	shared, media := t.SharedContext, t.Media
	if text := attach.Text(attached); text != "" {
		shared = append(slices.Clip(shared), text)
	}
	if blocks := attach.Blocks(attached); len(blocks) > 0 {
		media = slices.Concat(blocks, media)
	}
	return shared, media, nil
}

// configureOutput adds the effort and the output's schema to a request. A schema
// that the service does not take, or not whole, is stated to the model.
func configureOutput(req *llm.Request, effort string, schema json.RawMessage) error {
	config := map[string]any{}
	if effort != "" {
		config["effort"] = effort
	}
	if schema != nil {
		strict, lost, ok := structured.Strict(schema)
		if ok {
			config["format"] = map[string]any{"type": "json_schema", "schema": strict}
		}
		stated := ""
		switch {
		case !ok:
			stated = "Answer with JSON alone that obeys this JSON Schema:"
		case len(lost) > 0:
			stated = "The answer must also obey the " + strings.Join(lost, ", ") + " of this JSON Schema:"
		}
		if stated != "" { // before the task, among what other tasks share
			last := &req.Messages[len(req.Messages)-1]
			last.Content = slices.Insert(last.Content, max(0, len(last.Content)-1), llm.TextBlock(stated+"\n\n"+string(schema)))
		}
	}
	if len(config) == 0 {
		return nil
	}
	var err error
	req.OutputConfig, err = json.Marshal(config)
	return err
}

// maxTokens returns the most tokens of an answer: the task's, the agent's or the
// default, but no more than the model writes.
func (r *Runner) maxTokens(t Task, a *agent.Agent, model string) int {
	limit := r.Defaults.MaxTokens
	if a.MaxTokens > 0 {
		limit = a.MaxTokens
	}
	if t.MaxTokens > 0 {
		limit = t.MaxTokens
	}
	if info, ok := r.Prices.Info(model); ok && info.MaxOutput > 0 {
		limit = min(limit, info.MaxOutput)
	}
	return limit
}

// Identity says which model a task calls, and what of its agent and settings
// changes the answers.
type Identity struct {
	Model     string            // id
	MaxTokens int               // of an answer
	Prompt    int               // characters of the agent's system prompt and, from NamedIdentity, of its tools' definitions
	MaxTurns  int               // calls that a task of an agent with tools may make; 0 without tools, and from Identity
	Parts     map[string]string // names and values or digests, such as "agent" and "model"

	// Varies reports that the model depends on the prompt and the shared context,
	// so that a task with others may have another identity.
	Varies bool
}

// Identity returns the identity of a task.
func (r *Runner) Identity(ctx context.Context, t Task) (Identity, error) {
	a, err := r.agent(ctx, t)
	if err != nil {
		return Identity{}, err
	}
	model, err := r.selectModel(ctx, t, a, t.SharedContext)
	if err != nil {
		return Identity{}, err
	}
	id := Identity{
		Model:     model.ID,
		MaxTokens: r.maxTokens(t, a, model.ID),
		Prompt:    len(a.Prompt),
		Varies:    r.modelName(t, a) == modelselect.Auto,
	}
	id.Parts = map[string]string{
		"agent":      a.Name,
		"agent body": Digest([]byte(a.Prompt)),
		"model":      model.ID,
		"max_tokens": strconv.Itoa(id.MaxTokens),
	}
	if runner := runnerOf(t, a); runner != RunnerBuiltin {
		id.Parts["runner"] = runner
	}
	if effort := cmp.Or(t.Effort, a.Effort); effort != "" {
		id.Parts["effort"] = effort
	}
	if t.Thinking != nil {
		id.Parts["thinking"] = string(t.Thinking)
	}
	if t.Temperature != nil {
		id.Parts["temperature"] = strconv.FormatFloat(*t.Temperature, 'g', -1, 64)
	}
	tools, err := r.equip(ctx, t, a, model.ID)
	if err != nil {
		return Identity{}, err
	}
	if tools != nil {
		definitions, err := json.Marshal(tools.Set.Definitions())
		if err != nil {
			return Identity{}, fmt.Errorf("encoding the tools of agent %s: %w", a.Name, err)
		}
		id.Parts["tools"] = Digest(definitions)
		maps.Copy(id.Parts, tools.Sources)
		if len(tools.Context) > 0 && len(tools.Sources) == 0 {
			id.Parts["tools' context"] = Digest([]byte(strings.Join(tools.Context, "\x00")))
		}
	}
	if t.Allow != nil {
		id.Parts["allow"] = strings.Join(t.Allow, ", ")
	}
	if t.Schema != nil {
		id.Parts["schema"] = Digest(t.Schema)
	}
	return id, nil
}

// NamedIdentity returns the identity of a task without a selection of its model:
// the model is "auto" if that is what the task or its agent names. Parts is nil.
func (r *Runner) NamedIdentity(ctx context.Context, t Task) (Identity, error) {
	a, err := r.agent(ctx, t)
	if err != nil {
		return Identity{}, err
	}
	name := r.modelName(t, a)
	model, _ := r.Prices.Resolve(name)
	id := Identity{Model: model, MaxTokens: r.maxTokens(t, a, model), Prompt: len(a.Prompt), Varies: name == modelselect.Auto}
	tools, err := r.equip(ctx, t, a, model)
	if err != nil {
		return Identity{}, err
	}
	if tools != nil {
		id.Prompt += ToolCharacters(tools.Set.Definitions())
		id.MaxTurns = tools.MaxTurns
	}
	return id, nil
}

// ToolCharacters returns the length of definitions of tools, in characters.
func ToolCharacters(tools []llm.Tool) (n int) {
	for i := range tools {
		if data, err := json.Marshal(tools[i]); err == nil {
			n += len(data)
		}
	}
	return n
}

// CachePolicy returns how the cache treats the calls of a task, with what its
// agent and the settings say.
func (r *Runner) CachePolicy(ctx context.Context, t Task) llm.Policy {
	a, err := r.agent(ctx, t)
	if err != nil {
		return t.Policy
	}
	return r.policy(t, a)
}

// CacheTTL returns how long the file of a task's agent says that its answers are kept; 0
// if it says nothing.
func (r *Runner) CacheTTL(ctx context.Context, t Task) time.Duration {
	a, err := r.agent(ctx, t)
	if err != nil {
		return 0
	}
	return a.CacheTTL
}

// Digest returns a short hash of contents, to tell people and journals whether
// they changed: the first 8 bytes of SHA-256, in hexadecimal.
func Digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}
