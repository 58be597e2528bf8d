package journal

// Owned reports whether someone works on the run: a process that lives, or an engine.
func (r *Run) Owned() bool { return r.Owner != nil && r.Owner.Alive || r.Joined() }

// Joined reports whether an engine owns the run, so that its parts can be joined.
func (r *Run) Joined() bool { return r.Engine != "" && !r.Status.Ended() }

// OwnedError returns the error that says who works on the run.
func (r *Run) OwnedError() *OwnedError {
	err := &OwnedError{Run: r.ID, Engine: r.Engine}
	if r.Owner != nil {
		err.Owner, err.Engine = *r.Owner, ""
	}
	return err
}

// CheckAcquire returns why the run cannot be acquired; nil if it can. See [Store].
func (r *Run) CheckAcquire() error {
	if r.Owned() {
		return r.OwnedError()
	}
	return nil
}

// CheckJoin returns why a part of the run cannot be joined for an engine; nil if it can.
// See [Joiner].
func (r *Run) CheckJoin(engine string) error {
	switch {
	case r.Owner != nil && r.Owner.Alive:
		return r.OwnedError()
	case !r.Joined() || engine == "":
		return ErrLost
	case r.Engine != engine:
		return r.OwnedError()
	}
	return nil
}
