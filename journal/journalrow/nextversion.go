//go:build nextversion

package journalrow

import (
	"encoding/json"

	"github.com/claude-force/claude-force/journal"
)

// withNext returns the events as the next version would write them: details have a field
// that this version does not know, and behind the start of each step there is an event of a
// type that it does not know, with a field in which it expects another type of value.
func withNext(events []journal.Event) []journal.Event {
	var all []journal.Event
	for _, ev := range events {
		var detail map[string]json.RawMessage
		if ev.Detail != nil && json.Unmarshal(ev.Detail, &detail) == nil && detail != nil {
			detail["next_version"] = json.RawMessage(`{"text": "x", "list": [1, 2]}`)
			ev.Detail = journal.Detail(detail)
		}
		all = append(all, ev)
		if ev.Type == journal.StepStarted {
			all = append(all, journal.Event{Run: ev.Run, Time: ev.Time, Type: "step_noted_by_next_version", Step: ev.Step, Item: ev.Item, Output: "next", Detail: json.RawMessage(`{"cost_usd": "none", "usage": []}`)})
		}
	}
	return all
}
