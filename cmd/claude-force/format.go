package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/claude-force/claude-force/internal/amount"
)

// dollars returns an amount of US dollars; nil is one that is not known.
func dollars(usd *float64) string {
	if usd == nil {
		return "cost unknown"
	}
	return amount.Dollars(*usd)
}

// sortedKeys returns the keys of a map in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// plural returns a number with its noun, such as "3 runs", "1 run" or "2 retries". A
// noun ends in y only after a consonant.
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	if stem, ok := strings.CutSuffix(thing, "y"); ok {
		return amount.Thousands(n) + " " + stem + "ies"
	}
	return amount.Thousands(n) + " " + thing + "s"
}

// firstLine returns the first line of a text, cut to width characters.
func firstLine(s string, width int) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	if utf8.RuneCountInString(s) > width {
		s = strings.TrimSpace(string([]rune(s)[:width-1])) + "…"
	}
	return s
}

// table writes rows of cells in aligned columns.
func table(w io.Writer, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(tw, strings.Join(row, "\t"))
	}
	return tw.Flush()
}

// printJSON writes one value, indented.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	return nil
}

// lastLine returns the last line of a text that is not empty.
func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}
