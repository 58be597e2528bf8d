//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
)

// identical is the share of the calls whose prompt an earlier call has too.
const identical = 0.4

// near is within how many calls half of the identical ones are, so that both are in flight.
const near = 64

// Keys by which clients call. Each has prompts of its own.
const (
	keyWeb   = "web"
	keyOps   = "ops"
	keyStill = "still" // for clients of the machines that are not cut off alone
	keySmall = "small" // whose budget has room for half of its calls
)

var keyNames = []string{keyWeb, keyOps, keyStill, keySmall}

// keyOf returns the key by which a prompt is asked.
func keyOf(prompt int) string {
	switch n := prompt % 10; {
	case n == 0:
		return keySmall
	case n < 4:
		return keyStill
	case n < 7:
		return keyWeb
	default:
		return keyOps
	}
}

// text returns what a client asks. The service knows prompt and key by it.
func text(prompt int) string { return fmt.Sprintf("payer=%s. Question q-%d.", keyOf(prompt), prompt) }

// prompts returns how many different prompts the calls have.
func (o *options) prompts() int { return o.Calls - int(identical*float64(o.Calls)) }

// plan returns the prompts of all calls, in the order in which clients make them.
func (o *options) plan() []int {
	random := rand.New(rand.NewPCG(o.Seed, 1))
	repeats := make([]bool, o.Calls)
	for i := range o.Calls - o.prompts() {
		repeats[len(repeats)-1-i] = true
	}
	// The first call repeats none.
	random.Shuffle(len(repeats)-1, func(i, j int) { repeats[i+1], repeats[j+1] = repeats[j+1], repeats[i+1] })
	prompts, next := make([]int, o.Calls), 0
	for i, repeat := range repeats {
		switch {
		case !repeat:
			prompts[i] = next
			next++
		case random.IntN(2) == 0:
			prompts[i] = prompts[i-1-random.IntN(min(i, near))]
		default:
			prompts[i] = prompts[random.IntN(i)]
		}
	}
	return prompts
}
