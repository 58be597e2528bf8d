package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/claude-force/claude-force/internal/amount"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/pipeline"
)

func (a *app) models() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "models",
		Short: "List models with their prices and limits, and compare them",
		Long: `Prices are in US dollars per million tokens, built in with the date they were
read on. A file of your own goes before them: prices.yaml in the configuration
folder, or the one that the setting prices names. It lists only what differs:

  models:
    - id: claude-haiku-5-5
      tiers: [{input: 0.08, output: 0.4}]`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.modelsList(), a.modelsShow(), a.modelsCompare())
	return cmd
}

func (a *app) priceTable() (*llm.PriceTable, error) {
	cfg, err := a.settings()
	if err != nil {
		return nil, err
	}
	return pipeline.LoadPrices(cfg)
}

func (a *app) modelsList() *cobra.Command {
	var json bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List all models that have a price",
		Example: `  claude-force models list
  claude-force models list --json | jq -r '.models[] | [.id, .tiers[0].input] | @tsv'`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			t, err := a.priceTable()
			if err != nil {
				return err
			}
			if json {
				return printJSON(a.stdout, t.List())
			}
			rows := [][]string{{"MODEL", "ALIAS", "PROMPT", "INPUT", "OUTPUT", "WRITE 5M", "WRITE 1H", "READ", "BATCH IN/OUT", "CONTEXT", "MAX OUTPUT", "CACHE MIN", "RETIREMENT"}}
			for _, m := range t.Models {
				rows = append(rows, modelRows(t, m)...)
			}
			if err := table(a.stdout, rows); err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.stdout, "\nUS dollars per million tokens, as of %s (%s).\nUS-only inference costs %s times that, a web search $%s.\n",
				t.Date, t.Source, number(t.USOnly), number(t.WebSearch/1000))
			return err
		},
	}
	cmd.Flags().BoolVar(&json, "json", false, "print a JSON object")
	return cmd
}

// modelRows returns the rows of a model in the list: one per tier.
func modelRows(t *llm.PriceTable, m llm.ModelInfo) [][]string {
	j := t.Listed(m)
	var rows [][]string
	for i, tier := range m.Tiers {
		name, alias, rest := m.ID, strings.Join(j.Aliases, ","), []string{size(m.Context), size(m.MaxOutput), cacheMinimum(m), retirement(m)}
		if i > 0 {
			name, alias, rest = "", "", make([]string, 4)
		}
		rows = append(rows, slices.Concat([]string{name, alias, prompts(m, i)}, tierPrices(tier),
			[]string{number(j.Batch[i].Input) + "/" + number(j.Batch[i].Output)}, rest))
	}
	return rows
}

func tierPrices(t llm.Tier) []string {
	return []string{number(t.Input), number(t.Output), number(t.Write5m), number(t.Write1h), number(t.Read)}
}

// prompts returns which prompts a tier is for.
func prompts(m llm.ModelInfo, i int) string {
	switch {
	case m.Tiers[i].PromptUpTo > 0:
		return "to " + size(m.Tiers[i].PromptUpTo)
	case i > 0:
		return "over " + size(m.Tiers[i-1].PromptUpTo)
	}
	return "any"
}

// number formats a price without the digits that computing leaves behind.
func number(v float64) string {
	return strconv.FormatFloat(llm.Dollars(v).USD(), 'f', -1, 64)
}

// size formats a number of tokens in short.
func size(n int) string {
	switch {
	case n >= 1_000_000 && n%100_000 == 0:
		return number(float64(n)/1e6) + "M"
	case n >= 1000 && n%1000 == 0:
		return strconv.Itoa(n/1000) + "K"
	}
	return strconv.Itoa(n)
}

func cacheMinimum(m llm.ModelInfo) string {
	switch {
	case m.CacheMinimum == 0:
		return "unknown"
	case m.CacheMinimumAssumed:
		return strconv.Itoa(m.CacheMinimum) + "?"
	}
	return strconv.Itoa(m.CacheMinimum)
}

func retirement(m llm.ModelInfo) string {
	switch {
	case m.Ends != "":
		return "on " + m.Ends
	case m.NotRetiredBefore != "":
		return "not before " + m.NotRetiredBefore
	}
	return ""
}

func (a *app) modelsShow() *cobra.Command {
	var json bool
	cmd := &cobra.Command{
		Use:   "show MODEL",
		Short: "Show one model: an alias or an id",
		Example: `  claude-force models show haiku
  claude-force models show claude-opus-5-5 --json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeModels,
		RunE: func(_ *cobra.Command, args []string) error {
			t, err := a.priceTable()
			if err != nil {
				return err
			}
			id, notice := t.Resolve(args[0])
			if notice != "" {
				a.say("%s", notice)
			}
			m, ok := t.Info(id)
			if !ok {
				return badInput("no model %q has a price; `claude-force models list` shows those that have", args[0])
			}
			if json {
				return printJSON(a.stdout, t.Listed(m))
			}
			return table(a.stdout, modelDetails(t, m))
		},
	}
	cmd.Flags().BoolVar(&json, "json", false, "print a JSON object")
	return cmd
}

func modelDetails(t *llm.PriceTable, m llm.ModelInfo) [][]string {
	j := t.Listed(m)
	rows := [][]string{{"id", m.ID}}
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, []string{name, value})
		}
	}
	add("short id", m.Short)
	add("aliases", strings.Join(j.Aliases, ", "))
	add("released", m.Released)
	add("retirement", retirement(m))
	add("note", m.Note)
	add("context", amount.Thousands(m.Context)+" tokens")
	add("max output", amount.Thousands(m.MaxOutput)+" tokens")
	minimum := "unknown"
	if m.CacheMinimum > 0 {
		minimum = amount.Thousands(m.CacheMinimum) + " tokens"
		if m.CacheMinimumAssumed {
			minimum += ", assumed from its line"
		}
	}
	add("least cached prefix", minimum)
	for i, tier := range m.Tiers {
		p := tierPrices(tier)
		add("prices"+map[bool]string{true: ", prompts " + prompts(m, i)}[len(m.Tiers) > 1], fmt.Sprintf("input $%s, output $%s, cache write $%s for 5 minutes and $%s for an hour, cache read $%s", p[0], p[1], p[2], p[3], p[4]))
		add("  in a batch", fmt.Sprintf("input $%s, output $%s", number(j.Batch[i].Input), number(j.Batch[i].Output)))
	}
	if m.Fast != nil {
		add("  in fast mode", fmt.Sprintf("input $%s, output $%s", number(m.Fast.Input), number(m.Fast.Output)))
	}
	add("as of", t.Date+", "+t.Source)
	return rows
}
