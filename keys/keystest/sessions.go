package keystest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/claude-force/claude-force/keys"
)

// inSession checks which session a token is of at a time; the zero value for none.
func inSession(t *testing.T, s keys.Store, token string, now time.Time, want keys.Session) {
	t.Helper()
	got, err := s.Session(t.Context(), keys.HashOf(token), now)
	if none := want == (keys.Session{}); none != errors.Is(err, keys.ErrNoSession) || !none && err != nil || got.Secret != want.Secret || !got.Expires.Equal(want.Expires) {
		t.Errorf("session %q at %s: %+v, %v; want %+v", token, now, got, err, want)
	}
}

func addSession(t *testing.T, s keys.Store, token string, session keys.Session, now time.Time) {
	t.Helper()
	if err := s.AddSession(t.Context(), keys.HashOf(token), session, now); err != nil {
		t.Fatalf("AddSession: %v", err)
	}
}

func sessions(t *testing.T, s keys.Store) {
	inSession(t, s, "none", after(0), keys.Session{})
	a, b := keys.Session{Secret: keys.HashOf("a"), Expires: after(10)}, keys.Session{Secret: keys.HashOf("b"), Expires: after(20)}
	addSession(t, s, "first", a, after(0))
	addSession(t, s, "second", b, after(0))
	inSession(t, s, "first", after(9), a)
	inSession(t, s, "second", after(9), b)
	inSession(t, s, "a", after(9), keys.Session{}) // it is no key
	inSession(t, s, "first", after(10), keys.Session{})
	for range 2 {
		if err := s.EndSession(t.Context(), keys.HashOf("second")); err != nil {
			t.Errorf("EndSession: %v", err)
		}
		inSession(t, s, "second", after(9), keys.Session{})
	}
	inSession(t, s, "first", after(9), a)
	addSession(t, s, "third", keys.Session{Secret: keys.HashOf("c"), Expires: after(30)}, after(10))
	inSession(t, s, "first", after(9), keys.Session{}) // it was forgotten
}

// manySessions has more sessions than are kept: those that expire first are forgotten.
func manySessions(t *testing.T, s keys.Store) {
	const more = 3
	for n := range keys.MaxSessions + more {
		addSession(t, s, fmt.Sprint(n), keys.Session{Secret: keys.HashOf("k"), Expires: after(100 + n)}, after(0))
	}
	for _, n := range []int{0, more - 1, more, keys.MaxSessions + more - 1} {
		_, err := s.Session(t.Context(), keys.HashOf(fmt.Sprint(n)), after(0))
		if kept := n >= more; kept && err != nil || !kept && !errors.Is(err, keys.ErrNoSession) {
			t.Errorf("session %d of %d: %v", n, keys.MaxSessions+more, err)
		}
	}
}
