package llm

import (
	"maps"
	"slices"
)

// ModelList is a price table as programs get it.
type ModelList struct {
	Date      string        `json:"date"`
	Source    string        `json:"source"`
	Unit      string        `json:"unit"`
	Batch     float64       `json:"batch"`
	USOnly    float64       `json:"us_only"`
	WebSearch float64       `json:"web_search"`
	Models    []ListedModel `json:"models"`
	Retired   []Retired     `json:"retired"`
}

// ListedModel is an entry of a price table with its aliases and the prices in batches.
type ListedModel struct {
	ModelInfo
	Aliases []string      `json:"aliases,omitempty"`
	Batch   []BatchPrices `json:"batch"` // one per tier
}

// BatchPrices are the prices in batches, in US dollars per million tokens.
type BatchPrices struct {
	Input  float64 `json:"input"`
	Output float64 `json:"output"`
}

// List returns the table as programs get it.
func (t *PriceTable) List() *ModelList {
	l := &ModelList{Date: t.Date, Source: t.Source, Unit: "USD per million tokens", Batch: t.Batch, USOnly: t.USOnly, WebSearch: t.WebSearch, Models: []ListedModel{}, Retired: t.Retirees}
	for _, m := range t.Models {
		l.Models = append(l.Models, t.Listed(m))
	}
	return l
}

// Listed returns a model of the table with its aliases and the prices in batches.
func (t *PriceTable) Listed(m ModelInfo) ListedModel {
	l := ListedModel{ModelInfo: m}
	for _, alias := range slices.Sorted(maps.Keys(t.Aliases)) {
		if t.Aliases[alias] == m.ID {
			l.Aliases = append(l.Aliases, alias)
		}
	}
	for _, tier := range m.Tiers {
		l.Batch = append(l.Batch, BatchPrices{tier.Input * t.Batch, tier.Output * t.Batch})
	}
	return l
}
