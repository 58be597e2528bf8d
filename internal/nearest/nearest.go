// Package nearest finds what a misspelt name may mean.
package nearest

import (
	"slices"
	"strings"
)

// Name returns the known name that is most similar to name; empty if none is
// similar. A name that contains the other as a whole word ("python" for
// "python-expert") is similar, and so is one with a few typing errors.
func Name(name string, known []string) string {
	wanted := strings.ToLower(strings.TrimSpace(name))
	if wanted == "" || len(wanted) > 100 {
		return ""
	}
	best, bestScore := "", max(2, len(wanted)/3)+1
	for _, k := range known {
		lower := strings.ToLower(k)
		score := distance(wanted, lower)
		if words := strings.FieldsFunc(lower, isSeparator); slices.Contains(words, wanted) {
			score = min(score, 2)
		} else if slices.Equal(strings.FieldsFunc(wanted, isSeparator), words) {
			score = 0
		}
		if score < bestScore {
			best, bestScore = k, score
		}
	}
	return best
}

func isSeparator(r rune) bool { return r == '-' || r == '_' || r == ' ' || r == ':' || r == '/' }

// distance returns the number of edits between two words: a character inserted,
// deleted, replaced, or two swapped.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	before, above, row := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range above {
		above[j] = j
	}
	for i := range x {
		row[0] = i + 1
		for j := range y {
			cost := 1
			if x[i] == y[j] {
				cost = 0
			}
			row[j+1] = min(above[j+1]+1, row[j]+1, above[j]+cost)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, above, row = above, row, before
	}
	return above[len(y)]
}
