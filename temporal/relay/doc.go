// Package relay has Temporal run what is in a journal.
//
// The journal is the state of a run. The workflow in this package is a relay: it asks what
// is to be done ([Engine].Advance), has it done ([Engine].Attempt) and asks again, until the
// run has ended. Names of units and counts are all that is in a history of Temporal: nothing
// that a model was asked or said, and nothing that a change of the engine could contradict.
//
//	run      the workflow of a run; its id is the run's
//	items    a child of it, for a part of the items of a wide foreach
//	advance  a local activity: what the run comes to without making attempts
//	attempt  an activity: the attempts at one unit, with the engine's own retries
//
// Temporal repeats an activity for one reason alone: its worker is gone. What had ended by
// then is in the journal, so that nothing that has finished is paid for again.
//
// [Dispatcher] is the way of runs from the journal to Temporal, and that of what people
// decide.
package relay
