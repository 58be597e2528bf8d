package workflow

import "strings"

// suggester finds the known name that is closest to a wrong one. The zero value has no
// budget left and suggests nothing.
type suggester struct {
	// budget is the number of comparisons left. It keeps a file with thousands
	// of wrong names linear; the first mistakes still get their hints.
	budget int
}

// nearest returns the candidate closest to name, or "" when none is close
// enough to be a likely typing error. The first of equals wins.
func (s *suggester) nearest(name string, candidates []string) string {
	if name == "" || len(name) > 64 {
		return ""
	}
	best, limit := "", 1+len(name)/4
	for _, c := range candidates {
		if s.budget <= 0 {
			return best
		}
		s.budget--
		if strings.EqualFold(c, name) {
			return c
		}
		if d := distance(name, c, limit); d <= limit {
			best, limit = c, d-1
		}
	}
	return best
}

// didYouMean returns a hint that names the nearest candidate, or "".
func (s *suggester) didYouMean(name string, candidates []string) string {
	if c := s.nearest(name, candidates); c != "" {
		return "did you mean " + quote(c) + "?"
	}
	return ""
}

// distance returns the number of edits between a and b. A swap of neighbours is
// one edit. If the number is above limit, it returns limit+1.
func distance(a, b string, limit int) int {
	if limit < 0 || max(len(a)-len(b), len(b)-len(a)) > limit {
		return limit + 1
	}
	rows := make([]int, 3*(len(b)+1))
	before, prev, cur := rows[:len(b)+1], rows[len(b)+1:2*(len(b)+1)], rows[2*(len(b)+1):]
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		low := i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
			low = min(low, cur[j])
		}
		if low > limit {
			return limit + 1
		}
		before, prev, cur = prev, cur, before
	}
	return prev[len(b)]
}
