package prefix

import "strings"

// minimums are the fewest tokens of a prefix that the service caches, by a part
// of the model's id; the first that matches counts. Models that it does not
// know get the most, since a prefix below the minimum is worth no waiting.
var minimums = []struct {
	part   string
	tokens int
}{
	{"haiku-5", 512}, {"opus-5", 512}, {"fable-5", 512}, {"mythos-5", 512},
	{"mythos-preview", 2048}, {"opus-4-7", 2048}, {"3-5-haiku", 2048},
	{"opus-4-6", 4096}, {"opus-4-5", 4096}, {"haiku-4-5", 4096},
	{"sonnet", 1024}, {"opus-4", 1024},
}

func minimum(model string) int {
	for _, m := range minimums {
		if strings.Contains(model, m.part) {
			return m.tokens
		}
	}
	return 4096
}

// estimate is about how many tokens a number of characters are: a quarter, 30 %
// more with the tokenizer of the models since Opus 4.7.
func estimate(model string, characters int) int {
	n := (characters + 3) / 4
	for _, old := range []string{"-3-", "-4-1", "-4-5", "-4-6", "-4-2025"} {
		if strings.Contains(model, old) {
			return n
		}
	}
	return (n*13 + 9) / 10
}
