package keys

import "time"

// MaxSessions bounds the sessions that a [Store] keeps; those that expire first give way.
const MaxSessions = 1000

// Session is a browser that has logged in with a key. It is known by a token that only the
// browser has, and is good no longer than the key.
type Session struct {
	Secret  Hash // of the key
	Expires time.Time
}
