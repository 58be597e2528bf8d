package journal

// Live is what of a run is under way, as far as its status depends on it: a run
// waits while questions to people are open and nothing else is left to do. It is
// made from the run's events, all of them and in order, and holds no more than
// what is under way. The zero value is a run in which nothing has started.
type Live struct {
	asking map[Unit]bool // questions without an answer
	busy   map[Unit]bool // what else has started and not ended, except those in holds
	holds  map[Unit]bool // units that only stand for what is within them
}

// Add takes in the next event.
func (l *Live) Add(ev *Event) {
	u := Unit{ev.Step, ev.Item}
	switch ev.Type {
	case RunResumed:
		l.resume()
	case StepStarted, StepAttempt:
		delete(l.asking, u)
		l.begin(u)
	case StepFinished, StepFailed, StepSkipped:
		delete(l.asking, u)
		for asked := range l.asking { // a call that was not made again
			if caller, ok := asked.Caller(); ok && caller == u {
				delete(l.asking, asked)
			}
		}
		delete(l.busy, u)
		delete(l.holds, u)
	case ApprovalAsked:
		delete(l.busy, u)
		l.hold(u)
		put(&l.asking, u)
	case ApprovalGiven:
		// Until its run has taken it in, that is left to do.
		if l.asking[u] {
			delete(l.asking, u)
			if caller, ok := u.Caller(); ok {
				delete(l.holds, caller)
				u = caller
			}
			put(&l.busy, u)
		}
	}
}

// Asks reports whether a question to a person is open.
func (l *Live) Asks() bool { return len(l.asking) > 0 }

// Status returns that of a run whose status was another before the last event: one
// that has not ended is running or waits.
func (l *Live) Status(was Status) Status {
	switch {
	case was.Ended():
		return was
	case len(l.asking) > 0 && len(l.busy) == 0:
		return StatusWaiting
	}
	return StatusRunning
}

// begin notes that a unit is under way.
func (l *Live) begin(u Unit) {
	l.hold(u)
	if !l.holds[u] {
		put(&l.busy, u)
	}
}

// hold notes that the units around one hold it.
func (l *Live) hold(u Unit) {
	for outer := range u.Outer() {
		put(&l.holds, outer)
		delete(l.busy, outer)
	}
}

// resume clears the units in progress: they start again. Open questions do not,
// and units around them that start again only group them.
func (l *Live) resume() {
	*l = Live{asking: l.asking}
	for u := range l.asking {
		l.hold(u)
	}
}

func put(set *map[Unit]bool, u Unit) {
	if *set == nil {
		*set = map[Unit]bool{}
	}
	(*set)[u] = true
}
