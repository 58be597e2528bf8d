package llm

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// cautiousCacheMinimum is the largest minimum of any model, for models that the
// table says nothing of. Below its minimum the service ignores a breakpoint, so
// a cached prefix that is really smaller would be waited for in vain.
const cautiousCacheMinimum = 4096

// CacheMinimum returns the fewest tokens of a prefix that the prompt cache
// keeps for a model, which may have the name that a cloud gives it. For an
// unknown model it returns the largest minimum of any.
func (t *PriceTable) CacheMinimum(model string) int {
	if m := t.like(model); m != nil && m.CacheMinimum > 0 {
		return m.CacheMinimum
	}
	return cautiousCacheMinimum
}

// TokenRatio returns about how many tokens a model makes of a character
// of text. The model may have the name that a cloud gives it. An unknown model,
// and the empty name, has today's tokenizer.
func (t *PriceTable) TokenRatio(model string) float64 {
	if m := t.like(model); m != nil && m.TokensPerCharacter > 0 {
		return m.TokensPerCharacter
	}
	return cmp.Or(t.TokensPerCharacter, Prices().TokensPerCharacter)
}

// EstimateTokens returns about how many tokens a model makes of a number of
// characters, rounded up. It is an estimate from English text; code and other
// languages can be half as many again. See [PriceTable.TokenRatio] for
// the names of models.
func (t *PriceTable) EstimateTokens(model string, characters int) int {
	const noise = 1e-6 // of the product of an integer and a decimal fraction
	return int(math.Ceil(float64(characters)*t.TokenRatio(model) - noise))
}

// ReadBeforeEdit reports whether agents of a model must have read a file before they
// may change it. The model may have the name that a cloud gives it.
func (t *PriceTable) ReadBeforeEdit(model string) bool {
	m := t.like(model)
	return m != nil && m.ReadBeforeEdit
}

// AliasNames returns the aliases of the table that stand for a model in it, the
// cheapest model first.
func (t *PriceTable) AliasNames() []string {
	price := func(alias string) float64 {
		id, _ := t.Resolve(alias)
		return t.find(id).Tiers[0].Output
	}
	var names []string
	for alias := range t.Aliases {
		if id, _ := t.Resolve(alias); t.find(id) != nil {
			names = append(names, alias)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(price(a), price(b)), strings.Compare(a, b))
	})
	return names
}

// like returns the model of a name, else the one whose name is its longest
// beginning: the clouds write regions before a name and versions behind it, as
// in us.anthropic.claude-opus-5-5-v1:0. It is for facts that may be off, never
// for prices. It returns nil if there is none.
func (t *PriceTable) like(name string) *ModelInfo {
	if m := t.find(name); m != nil {
		return m
	}
	i := strings.Index(name, "claude-")
	if i < 0 {
		return nil
	}
	name = name[i:]
	var best *ModelInfo
	length := 0
	for i := range t.Models {
		m := &t.Models[i]
		for _, id := range []string{m.ID, m.Short} {
			if len(id) > length && begins(name, id) {
				best, length = m, len(id)
			}
		}
	}
	return best
}

// begins reports whether name is id, or goes on behind it with a separator.
func begins(name, id string) bool {
	rest, ok := strings.CutPrefix(name, id)
	return ok && (rest == "" || strings.ContainsRune("-@:", rune(rest[0])))
}
