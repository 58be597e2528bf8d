package admission

import "github.com/claude-force/claude-force/llm"

// means is what was learned about the calls of a model, or of one agent with
// it.
type means struct {
	Calls  int     `json:"calls"`
	Ratio  float64 `json:"ratio"`  // input tokens that count, to characters
	Output float64 `json:"output"` // tokens
}

// learn adds a call. Young means move fast, old ones by a tenth.
func (m means) learn(characters, input, output int) means {
	weight := max(0.1, 1/float64(m.Calls+1))
	m.Ratio += weight * (float64(input)/float64(max(1, characters)) - m.Ratio)
	m.Output += weight * (float64(output) - m.Output)
	m.Calls++
	return m
}

// agent tells whose means are meant.
type agent struct{ model, name string }

// maxAgents bounds how many are remembered.
const maxAgents = 4096

// firstOutput is the output expected of a model that nothing is known of:
// max_tokens is a ceiling, and most answers stay far below it.
const firstOutput = 600

// largestContext is the most tokens of a prompt for a model that is not known.
const largestContext = 1 << 20

// estimate returns what a call will take. What reads the prompt cache does not
// count; that shows in the agent's ratio. learned are the model's means.
func (l *Limiter) estimate(req *llm.Request, characters int, learned means) Amounts {
	m, ok := l.agents[agent{req.Model, req.Agent}]
	if !ok {
		m = learned
	}
	if m.Calls == 0 {
		m = means{Ratio: l.opts.Prices.TokenRatio(req.Model), Output: firstOutput}
	}
	output := m.Output
	if req.MaxTokens > 0 {
		output = min(output, float64(req.MaxTokens))
	}
	return Amounts{1, float64(characters) * m.Ratio, output}
}

// learn takes the usage of an answer into the means.
func (l *Limiter) learn(p *poolState, req *llm.Request, characters int, u llm.Usage) {
	input := counted(u)
	if _, known := p.Models[req.Model]; !known && len(p.Models) >= maxPools {
		clear(p.Models)
	}
	p.Models[req.Model] = p.Models[req.Model].learn(characters, input, u.OutputTokens)
	who := agent{req.Model, req.Agent}
	if _, known := l.agents[who]; !known && len(l.agents) >= maxAgents {
		return
	}
	l.agents[who] = l.agents[who].learn(characters, input, u.OutputTokens)
}

// plausible returns the usage of an answer to req, bounded by what the model takes and
// may write. A gateway that reports more would close the pool for hours.
func (l *Limiter) plausible(req *llm.Request, u llm.Usage) llm.Usage {
	most := largestContext
	if info, ok := l.opts.Prices.Info(req.Model); ok && info.Context > 0 {
		most = info.Context
	}
	u.InputTokens, u.CacheWrite5m, u.CacheWrite1h = min(u.InputTokens, most), min(u.CacheWrite5m, most), min(u.CacheWrite1h, most)
	if req.MaxTokens > 0 {
		u.OutputTokens = min(u.OutputTokens, req.MaxTokens)
	}
	return u
}

// counted returns the input that counts against the limits.
func counted(u llm.Usage) int { return u.InputTokens + u.CacheWrite5m + u.CacheWrite1h }

// What an image and a page of a document count for, in characters: their data says
// nothing about their tokens.
const (
	pictureCharacters = 6000
	pageCharacters    = 8000
)

// size returns the characters of a prompt, roughly.
func size(req *llm.Request) int {
	n := 16 * len(req.Messages) // for the frames of messages
	for _, b := range req.System {
		n += blockSize(&b)
	}
	for _, m := range req.Messages {
		for i := range m.Content {
			n += blockSize(&m.Content[i])
		}
	}
	for _, t := range req.Tools {
		n += len(t.Name) + len(t.Description) + len(t.InputSchema) + len(t.Raw)
	}
	return n + len(req.OutputConfig)
}

func blockSize(b *llm.Block) int {
	switch {
	case b.Media != nil && b.Media.Pages > 0:
		return b.Media.Pages * pageCharacters
	case b.Type == "image":
		return pictureCharacters
	case b.Raw != nil:
		return len(b.Raw)
	}
	return len(b.Text) + len(b.Input) + len(b.Name)
}
