package llm

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
)

// Tier holds the prices of one model for prompts up to a size, in US dollars
// per million tokens.
type Tier struct {
	PromptUpTo int     `json:"prompt_up_to,omitempty"` // largest whole prompt, in tokens; 0 for any
	Input      float64 `json:"input"`
	Output     float64 `json:"output"`
	Write5m    float64 `json:"write_5m"`
	Write1h    float64 `json:"write_1h"`
	Read       float64 `json:"read"`
}

// ModelInfo holds the facts of one model.
type ModelInfo struct {
	ID        string `json:"id"`
	Short     string `json:"short,omitempty"` // the same model without its date
	Context   int    `json:"context"`         // most prompt tokens
	MaxOutput int    `json:"max_output"`      // most output tokens

	Released         string `json:"released,omitempty"`           // YYYY-MM-DD or YYYY-MM; empty if unknown
	NotRetiredBefore string `json:"not_retired_before,omitempty"` // YYYY-MM-DD; empty if nothing is promised
	Ends             string `json:"ends,omitempty"`               // YYYY-MM-DD of its retirement, once announced

	// CacheMinimum is the fewest tokens of a prefix that the prompt cache
	// keeps; 0 if unknown. It may be assumed from models of the same line.
	CacheMinimum        int  `json:"cache_minimum,omitempty"`
	CacheMinimumAssumed bool `json:"cache_minimum_assumed,omitempty"`

	// TokensPerCharacter is about how many tokens the model's tokenizer makes
	// of a character of text; 0 if it is that of the table.
	TokensPerCharacter float64 `json:"tokens_per_character,omitempty"`

	// Thinking are the kinds of thinking that the model takes, such as adaptive, and
	// Efforts the levels of effort. Temperature is set if it takes one other than 1. If
	// Thinking is nil, nothing of this is known.
	Thinking    []string `json:"thinking,omitempty"`
	Efforts     []string `json:"efforts,omitempty"`
	Temperature bool     `json:"temperature,omitempty"`

	// TextOnly is set for models that take no images and documents.
	TextOnly bool `json:"text_only,omitempty"`

	// ReadBeforeEdit is set for models whose agents must have read a file before
	// they may change it. Newer ones do so by themselves.
	ReadBeforeEdit bool `json:"read_before_edit,omitempty"`

	Note  string     `json:"note,omitempty"`
	Fast  *FastPrice `json:"fast,omitempty"` // nil if there is no fast mode, or no price for it
	Tiers []Tier     `json:"tiers"`          // ascending by PromptUpTo
}

// FastPrice is the price of fast mode, in US dollars per million tokens. The
// prices of the prompt cache rise with that of the input.
type FastPrice struct {
	Input  float64 `json:"input"`
	Output float64 `json:"output"`
}

// Retired is a model id whose requests fail, and the model to use instead.
type Retired struct {
	ID        string `json:"id"`
	Date      string `json:"date"` // when it was retired, YYYY-MM-DD
	Successor string `json:"successor"`
}

// PriceTable maps names to models, models to their facts, and usage to money. A
// model that is not in it has an unknown price, never a price of zero.
type PriceTable struct {
	Date   string `json:"date"` // when the prices were read, YYYY-MM-DD
	Source string `json:"source"`

	// Factors on the prices of tokens.
	Batch  float64 `json:"batch"`
	USOnly float64 `json:"us_only"`
	// WebSearch is the price of 1,000 searches in US dollars.
	WebSearch float64 `json:"web_search"`

	// TokensPerCharacter is that of the models which say nothing else, and of
	// those that are not in the table: today's tokenizer.
	TokensPerCharacter float64 `json:"tokens_per_character,omitempty"`

	Aliases  map[string]string `json:"aliases"`
	Models   []ModelInfo       `json:"models"`
	Retirees []Retired         `json:"retired"`
}

//go:embed prices.json
var embeddedPrices []byte

// Prices returns the embedded price table. It must not be modified.
var Prices = sync.OnceValue(func() *PriceTable {
	table, err := ParsePrices(embeddedPrices)
	if err != nil {
		panic("llm: the embedded price table is broken: " + err.Error()) // a build fault, caught by its test
	}
	return table
})

// ParsePrices parses a whole price table from JSON in the form of the embedded
// one.
func ParsePrices(data []byte) (*PriceTable, error) {
	var t PriceTable
	if err := json.Unmarshal(data, &t); err != nil {
		return nil, fmt.Errorf("reading price table: %w", err)
	}
	if err := t.check(); err != nil {
		return nil, fmt.Errorf("reading price table: %w", err)
	}
	return &t, nil
}

// Resolve returns the id to send for a model name: an alias, an id, an id without
// its date, or a retired id. The notice, if not empty, is a sentence for the
// user: the name was that of a retired model. Unknown names are returned
// unchanged, since the service may have a model that the table does not.
func (t *PriceTable) Resolve(name string) (id, notice string) {
	if target, ok := t.Aliases[name]; ok {
		name = target
	}
	for _, r := range t.Retirees {
		if r.ID == name {
			return r.Successor, fmt.Sprintf("model %s was retired on %s; using its successor %s", r.ID, r.Date, r.Successor)
		}
	}
	if m := t.find(name); m != nil {
		return m.ID, ""
	}
	return name, ""
}

// Info returns the facts of a model id; ok is false if the table has none.
func (t *PriceTable) Info(id string) (info ModelInfo, ok bool) {
	if m := t.find(id); m != nil {
		return *m, true
	}
	return ModelInfo{}, false
}

func (t *PriceTable) find(id string) *ModelInfo {
	i := slices.IndexFunc(t.Models, func(m ModelInfo) bool { return m.ID == id || m.Short != "" && m.Short == id })
	if i < 0 {
		return nil
	}
	return &t.Models[i]
}
