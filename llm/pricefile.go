package llm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/claude-force/claude-force/internal/jsontext"
)

// LoadPrices returns the embedded table overridden by that of data, which is
// JSON of the same form; see [PriceTable.Over]. Errors name the line and the
// field.
func LoadPrices(data []byte) (*PriceTable, error) {
	var over PriceTable
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&over); err != nil {
		line, err := jsontext.Explain(data, err)
		if _, name, ok := strings.Cut(err.Error(), "unknown field "); ok {
			err = fmt.Errorf("there is no field %s", name)
			line = lineOf(data, int64(max(bytes.Index(data, []byte(name)), 0)))
		} else if line == 0 {
			line = lineOf(data, dec.InputOffset())
		}
		return nil, fmt.Errorf("line %d: %w", line, err)
	}
	t, err := over.Over(Prices())
	if e, ok := errors.AsType[*modelError](err); ok {
		return nil, fmt.Errorf("line %d: %w", lineOf(data, int64(bytes.Index(data, []byte(strconv.Quote(e.id))))), err)
	}
	return t, err
}

func lineOf(data []byte, offset int64) int {
	return 1 + bytes.Count(data[:min(max(offset, 0), int64(len(data)))], []byte("\n"))
}

// modelError is an error in the entry of a model.
type modelError struct {
	index int
	id    string
	err   error
}

func (e *modelError) Error() string { return fmt.Sprintf("models[%d] (%s): %v", e.index, e.id, e.err) }
func (e *modelError) Unwrap() error { return e.err }

// Over returns base overridden by t: each factor, alias, retired id, and field of
// a model that t sets. Tiers are replaced together; a tier without a price of the
// prompt cache gets the usual factor on its input (1.25, 2 and 0.1). Over checks
// the result, and does not modify base or t.
func (t *PriceTable) Over(base *PriceTable) (*PriceTable, error) {
	out := *base
	set(&out.Date, t.Date)
	set(&out.Source, t.Source)
	set(&out.Batch, t.Batch)
	set(&out.USOnly, t.USOnly)
	set(&out.WebSearch, t.WebSearch)
	set(&out.TokensPerCharacter, t.TokensPerCharacter)
	out.Aliases = maps.Clone(base.Aliases)
	if out.Aliases == nil {
		out.Aliases = map[string]string{}
	}
	maps.Copy(out.Aliases, t.Aliases)
	out.Models, out.Retirees = slices.Clone(base.Models), slices.Clone(base.Retirees)
	for _, r := range t.Retirees {
		out.Retirees = slices.DeleteFunc(out.Retirees, func(old Retired) bool { return old.ID == r.ID })
		out.Retirees = append(out.Retirees, r)
	}
	for _, m := range t.Models {
		old := out.find(m.ID)
		if old == nil {
			out.Models = append(out.Models, ModelInfo{ID: m.ID})
			old = &out.Models[len(out.Models)-1]
		}
		old.lay(m)
	}
	if err := out.check(); err != nil {
		return nil, err
	}
	return &out, nil
}

// lay overrides the fields of m by those that over sets.
func (m *ModelInfo) lay(over ModelInfo) {
	set(&m.Short, over.Short)
	set(&m.Context, over.Context)
	set(&m.MaxOutput, over.MaxOutput)
	set(&m.Released, over.Released)
	set(&m.NotRetiredBefore, over.NotRetiredBefore)
	set(&m.Ends, over.Ends)
	set(&m.Note, over.Note)
	set(&m.Fast, over.Fast)
	set(&m.TextOnly, over.TextOnly)
	if over.CacheMinimum != 0 {
		m.CacheMinimum, m.CacheMinimumAssumed = over.CacheMinimum, over.CacheMinimumAssumed
	}
	set(&m.TokensPerCharacter, over.TokensPerCharacter)
	if len(over.Tiers) == 0 {
		return
	}
	m.Tiers = slices.Clone(over.Tiers)
	for i := range m.Tiers {
		tier := &m.Tiers[i]
		setIfUnset(&tier.Write5m, 1.25*tier.Input)
		setIfUnset(&tier.Write1h, 2*tier.Input)
		setIfUnset(&tier.Read, tier.Input/10)
	}
}

func set[T comparable](to *T, value T) {
	var zero T
	if value != zero {
		*to = value
	}
}

func setIfUnset[T comparable](to *T, value T) {
	var zero T
	if *to == zero {
		*to = value
	}
}

// check returns an error for a table that would give wrong results.
func (t *PriceTable) check() error {
	for name, value := range map[string]float64{"batch": t.Batch, "us_only": t.USOnly, "web_search": t.WebSearch} {
		if !price(value) {
			return fmt.Errorf("%s: %v is not a number above 0", name, value)
		}
	}
	if !ratio(t.TokensPerCharacter) {
		return fmt.Errorf("tokens_per_character: %v is not a number from 0 to 10", t.TokensPerCharacter)
	}
	for i, m := range t.Models {
		if err := m.check(); err != nil {
			return &modelError{i, m.ID, err}
		}
	}
	return nil
}

func (m *ModelInfo) check() error {
	switch {
	case m.ID == "":
		return errors.New("id is missing")
	case m.Context <= 0:
		return errors.New("context is missing: the most tokens of a prompt")
	case m.MaxOutput <= 0:
		return errors.New("max_output is missing: the most tokens of an answer")
	case len(m.Tiers) == 0:
		return errors.New("tiers is missing: the prices")
	case m.CacheMinimum < 0:
		return errors.New("cache_minimum must not be negative")
	case !ratio(m.TokensPerCharacter):
		return errors.New("tokens_per_character must be a number from 0 to 10")
	case m.Fast != nil && (!price(m.Fast.Input) || !price(m.Fast.Output)):
		return errors.New("fast: input and output must be prices above 0")
	}
	for i, tier := range m.Tiers {
		last := i == len(m.Tiers)-1
		switch {
		case !price(tier.Input) || !price(tier.Output):
			return fmt.Errorf("tiers[%d]: input and output must be prices above 0, in dollars per million tokens", i)
		case !price(tier.Write5m) || !price(tier.Write1h) || !price(tier.Read):
			return fmt.Errorf("tiers[%d]: write_5m, write_1h and read must be prices above 0", i)
		case last && tier.PromptUpTo != 0:
			return fmt.Errorf("tiers[%d]: prompt_up_to is for tiers that another follows", i)
		case !last && (tier.PromptUpTo <= 0 || i > 0 && tier.PromptUpTo <= m.Tiers[i-1].PromptUpTo):
			return fmt.Errorf("tiers[%d]: prompt_up_to must be above that of the tier before", i)
		}
	}
	return nil
}

// price reports whether v can be a price. The bound keeps sums from
// overflowing.
func price(v float64) bool { return v > 0 && v <= 100_000 && !math.IsNaN(v) }

// ratio reports whether v can be tokens for each character; 0 means unset.
func ratio(v float64) bool { return v >= 0 && v <= 10 }
