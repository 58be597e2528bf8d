package server

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/keys"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/runs"
)

// recheck is how often the key of a request that takes longer is looked at again.
const recheck = time.Second

// unknownFor is how long a request continues whose key cannot be looked at, since the store
// of keys fails: longer than a database takes to restart, since the calls in flight would be
// paid a second time, and shorter than a revoked key may be of use.
const unknownFor = time.Minute

// keyring knows the keys of a server: that of the owner, and those in the store.
type keyring struct {
	owner   keys.Hash
	store   keys.Store
	recheck time.Duration

	mu      sync.Mutex // guards the field below, and the watches
	watches map[keys.Hash]*watch
}

// errKey is the cause with which the context of a request ends whose key is not good any
// more.
var errKey = errors.New("the request's key is not good any more")

// bySecret returns the identity of a secret with a hash; nil if it has none. The error is
// that of the store.
func (k *keyring) bySecret(ctx context.Context, secret keys.Hash) (*keys.Identity, error) {
	if secret.Equal(k.owner) {
		return keys.Owner(), nil
	}
	id, err := keys.IdentifyHash(ctx, k.store, secret, time.Now())
	if errors.Is(err, keys.ErrNotFound) || errors.Is(err, keys.ErrRevoked) || errors.Is(err, keys.ErrExpired) {
		return nil, nil //nolint:nilnil // as said above
	}
	return id, err
}

// hold returns the context of a request of a key. It carries who the caller is, and ends
// when the key is revoked or expires, or when whether it is was not known for a minute. The
// caller must call release. All requests of a key look at it together.
func (k *keyring) hold(ctx context.Context, id *keys.Identity, secret keys.Hash) (held context.Context, release func()) {
	ctx = keys.WithIdentity(ctx, id)
	if id.ID == "" {
		return ctx, func() {}
	}
	ctx = llm.WithTags(ctx, llm.Tags{Key: id.Name, Team: id.Team})
	ctx, cancel := context.WithCancelCause(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	w := k.watches[secret]
	if w == nil {
		watching, stop := context.WithCancel(context.WithoutCancel(ctx)) // it outlasts this request
		w = &watch{held: map[context.Context]context.CancelCauseFunc{}, stop: stop}
		if k.watches == nil {
			k.watches = map[keys.Hash]*watch{}
		}
		k.watches[secret] = w
		go k.watch(watching, w, secret) // ends with the last request
	}
	w.held[ctx] = cancel
	w.known = time.Now()
	return ctx, func() {
		cancel(nil)
		k.mu.Lock()
		defer k.mu.Unlock()
		if delete(w.held, ctx); len(w.held) == 0 && k.watches[secret] == w {
			delete(k.watches, secret)
			w.stop()
		}
	}
}

// watch is the requests of a key that are under way.
type watch struct {
	held  map[context.Context]context.CancelCauseFunc // by the context of the request
	known time.Time                                   // when the key was good
	stop  context.CancelFunc                          // ends the looks at the key
}

// watch ends the requests of a key that is not good any more.
func (k *keyring) watch(ctx context.Context, w *watch, secret keys.Hash) {
	ticker := time.NewTicker(k.recheck)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		asked := time.Now()
		now, err := k.bySecret(ctx, secret)
		k.mu.Lock()
		switch {
		case err == nil && now != nil:
			if asked.After(w.known) {
				w.known = asked
			}
		case err == nil, time.Since(w.known) >= unknownFor:
			for _, end := range w.held {
				end(errKey)
			}
			if k.watches[secret] == w {
				delete(k.watches, secret)
				w.stop()
			}
		}
		k.mu.Unlock()
	}
}

// mayFollow returns a [Problem] if the key of a request is not for a page.
func (s *Server) mayFollow(r *http.Request, target string) error {
	page, err := http.NewRequestWithContext(r.Context(), http.MethodGet, target, http.NoBody)
	if err != nil {
		return &Problem{Status: http.StatusUnprocessableEntity, Code: "request", Detail: "page is not the address of a page"}
	}
	if id := keys.FromContext(r.Context()); id == nil || !id.Role.Allows(s.table.route(page).Needs) {
		return &Problem{Status: http.StatusForbidden, Code: "role", Detail: "the key is not for this page"}
	}
	return nil
}

// take counts a request of a key. It answers the request and reports false if there were
// too many in the last minute, or if they cannot be counted.
func (k *keyring) take(w http.ResponseWriter, r *http.Request, id *keys.Identity) bool {
	if id.RPM == 0 {
		return true
	}
	wait, err := k.store.Take(r.Context(), id.ID, id.RPM, time.Now())
	switch {
	case err != nil:
		writeNoStore(w, r)
		return false
	case wait > 0:
		w.Header().Set("Retry-After", strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10))
		writeProblem(w, r, &Problem{Status: http.StatusTooManyRequests, Code: "rate", Detail: "the key " + id.Name + " may make " + strconv.Itoa(id.RPM) + " requests a minute"})
		return false
	}
	return true
}

// writeNoStore answers a request whose key cannot be looked up.
func writeNoStore(w http.ResponseWriter, r *http.Request) {
	writeProblem(w, r, &Problem{Status: http.StatusServiceUnavailable, Code: "store", Detail: "the store of keys cannot be read; the server's log says why"})
}

// mayChange returns a [Problem] if the caller may not stop, answer or resume a run: its
// calls are charged to the key that it is for, or are the owner's. A team may change all
// runs of its keys.
func (s *Server) mayChange(ctx context.Context, run *journal.Run) error {
	caller := keys.FromContext(ctx)
	if caller == nil || caller.ID == "" {
		return nil
	}
	whole, err := s.store.Find(ctx, run.ID)
	if err != nil {
		return err
	}
	spec, err := runs.ReadSpec(whole)
	if err != nil {
		return err
	}
	if spec.Key == caller.Name || spec.Team != "" && spec.Team == caller.Team {
		return nil
	}
	return &Problem{Status: http.StatusForbidden, Code: "run", Detail: "the run is for another key, and not for one of the same team"}
}

// changeable returns the whole id of a run that the caller may change. What is done is for
// that: by then, "latest" and the beginning of an id may stand for another run.
func (s *Server) changeable(ctx context.Context, id string) (string, error) {
	run, err := runs.Find(ctx, s.store, id)
	if err != nil {
		return "", err
	}
	return run.ID, s.mayChange(ctx, &run)
}

// decide answers an approval that a run waits for, and returns its step.
func (s *Server) decide(ctx context.Context, run, step string, d journal.Decision) (string, error) {
	id, err := s.changeable(ctx, run)
	if err != nil {
		return "", err
	}
	return runs.Decide(ctx, s.store, id, step, d)
}
