package journal

import "context"

// Feed is what a [Store] of several processes offers to who reports about runs to
// others: the ends of runs and the questions of all runs, in one order, so that they can
// be found without looking at the runs that have none.
type Feed interface {
	// Notices returns at most limit notices with a number above after, in order. A notice
	// that is not durable yet gets a higher number than all that were returned. Those of
	// runs that were removed, and those that are damaged, are left out.
	Notices(ctx context.Context, after int64, limit int) ([]Notice, error)
	// LastNotice returns the number of the latest notice ever, 0 if there was none.
	LastNotice(ctx context.Context) (int64, error)
}

// Notice is an event of type RunFinished or ApprovalAsked in a [Feed].
type Notice struct {
	N     int64 // above those of earlier notices; numbers may be left out
	Event Event
}

// IsNotice reports whether events of a type are in a [Feed].
func IsNotice(t EventType) bool { return t == RunFinished || t == ApprovalAsked }
