//go:build !nextversion

package journalrow

import "github.com/claude-force/claude-force/journal"

// withNext returns the events that this version writes.
func withNext(events []journal.Event) []journal.Event { return events }
