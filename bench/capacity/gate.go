//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// checkModel checks what must hold whatever the constants are: no call is lost or
// doubled, the seed decides, more load than a store takes waits longer, and the
// commands of the constants exist. It is run from the project's root.
func checkModel(w Workload, c constants, seed uint64, r *Result, out io.Writer) error {
	var found []error
	wrong := func(format string, args ...any) { found = append(found, fmt.Errorf(format, args...)) }
	if r.Arrived != r.Done+r.InSystem || r.InSystem != 0 || r.Arrived != r.Hits+r.Coalesced+r.Paid {
		wrong("%d calls arrived, %d are done and %d inside: %d paid, %d hits, %d shared", r.Arrived, r.Done, r.InSystem, r.Paid, r.Hits, r.Coalesced)
	}
	if got, want := float64(r.Arrived), w.Calls; got < want*0.95 || got > want*1.05 {
		wrong("%v calls arrived of %v", got, want)
	}
	again := simulate(w, c, seed)
	again.Knee = r.Knee
	a, errA := json.Marshal(r)
	b, errB := json.Marshal(again)
	if err := errors.Join(errA, errB); err != nil || !bytes.Equal(a, b) {
		wrong("two simulations with one seed differ: %w", errors.Join(err, errors.New("see -json")))
	}
	other, err := json.Marshal(simulate(w, c, seed+1).Resources)
	if own, _ := json.Marshal(r.Resources); err != nil || bytes.Equal(own, other) {
		wrong("the seed decides nothing")
	}
	if len(r.Knee) == 4 && r.Knee[3].OverheadP99 < 3*r.Knee[2].OverheadP99 {
		wrong("at %.3gx calls wait %s, hardly longer than at %.3gx", r.Knee[3].Multiple, short(r.Knee[3].OverheadP99), r.Knee[2].Multiple)
	}
	if err := c.check("."); err != nil {
		found = append(found, err)
	}
	if len(found) > 0 {
		return errors.Join(found...)
	}
	measured := 0
	for _, k := range c {
		if k.Command != "" {
			measured++
		}
	}
	_, err = fmt.Fprintf(out, "gate: %d arrived and done, twice alike; %d constants with their commands, %d assumed\n", r.Done, measured, len(c)-measured)
	return err
}
