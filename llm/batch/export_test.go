package batch

// Crash is what the end of a process does to a store: its lock goes, and
// nothing else happens.
func (d *Dir) Crash() error { return d.alive.Close() }
