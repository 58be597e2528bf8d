package journal

// Owned reports whether someone works on the run: a process that lives, or an engine.
func (r *Run) Owned() bool {
	return r.Owner != nil && r.Owner.Alive || r.Engine != "" && !r.Status.Ended()
}

// OwnedError returns the error that says who works on the run.
func (r *Run) OwnedError() *OwnedError {
	err := &OwnedError{Run: r.ID, Engine: r.Engine}
	if r.Owner != nil {
		err.Owner, err.Engine = *r.Owner, ""
	}
	return err
}
