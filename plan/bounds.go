package plan

import (
	"fmt"
	"iter"
	"strconv"

	"github.com/dustin/go-humanize/english"
)

// Sources of bounds.
const (
	fromList    = "a literal list"
	fromFiles   = "the files that are there"
	fromItem    = "the item around it"
	fromAnswers = "answers that are there"
	fromDryRun  = "a guess from a simulated answer"
	fromNothing = "assumed"
	fromMax     = "its max"
)

// listed returns how many items a foreach has each time it starts, and where they come
// from, if that depends on no answer.
func (w *walk) listed(n *node, o outer) (items Range, from string, ok bool) {
	each := n.step.Foreach
	if each.Items == nil {
		from = fromFiles
		for _, pattern := range each.Glob {
			if _, known := knownNames(pattern.Uses(), o); !known {
				return Range{}, "", false
			}
		}
	} else {
		if count, literal := each.Items.Len(); literal {
			return Exactly(float64(count)), fromList, true
		}
		if from, ok = knownNames(each.Items.Uses(), o); !ok {
			return Range{}, "", false
		}
		if from == "" {
			from = fromList // written as a text
		}
	}
	counts := w.counted(n.path)
	if len(counts) == 0 {
		return Range{}, "", false // it did not start
	}
	return Exactly(mean(counts)), from, true
}

// knownNames reports whether all that an expression uses has its value before the first
// step runs, and returns one name for people.
func knownNames(names iter.Seq2[string, string], o outer) (from string, known bool) {
	for root, name := range names {
		switch root {
		case "params", "vars":
			if !o.given {
				return "", false
			}
			from = root + "." + name
		case "item":
			if !o.listed {
				return "", false
			}
			from = fromItem
		case "env", "run":
			from = root + "." + name
		default:
			return "", false
		}
	}
	return from, true
}

// counted returns the numbers of items of a foreach in the dry run, one for each start.
func (w *walk) counted(path string) []float64 {
	seen := w.in.Items[path]
	counts := make([]float64, len(seen))
	for i, c := range seen {
		counts[i] = float64(c)
	}
	return counts
}

// bound returns a bound of a path for people, with its source.
func bound(r Range, unit, path, from string) string {
	return counting(r, unit) + " of " + path + ": " + from
}

// counting writes how many of something there are.
func counting(r Range, unit string) string {
	if r.Low == r.High && r.Low == float64(int(r.Low)) {
		return english.Plural(int(r.Low), unit, "")
	}
	number := func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
	return fmt.Sprintf("%s to %s", number(round(r.Low)), number(round(r.High))) + " " + english.PluralWord(2, unit, "")
}

// round returns v with one digit behind the point.
func round(v float64) float64 { return float64(int(v*10+0.5)) / 10 }

// earlier names the runs that a count comes from.
func (h *history) earlier() string { return english.Plural(h.runs, "earlier run", "") }
