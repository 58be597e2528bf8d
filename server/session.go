package server

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/claude-force/claude-force/keys"
	"github.com/claude-force/claude-force/server/web"
)

const (
	// codeTime is how long a login code can be used, once.
	codeTime = 10 * time.Minute

	// sessionTime is how long a browser stays logged in.
	sessionTime = 24 * time.Hour

	// maxCodes bounds the login codes that are kept; the one that ends first gives way.
	maxCodes = 100

	// maxCookies is how many cookies of a request are looked at.
	maxCookies = 8

	// maxFailures is how many wrong keys and codes are looked at within failureTime.
	maxFailures = 10
	failureTime = time.Minute
)

// sessions are the browsers that have logged in, which are in the store of keys, so that all
// servers of one store know them, and the codes with which they can, each at the server that
// has shown it. A cookie holds a random text that no other store knows, and has the port in
// its name: browsers send cookies to every port of a host.
type sessions struct {
	keys   *keyring
	secure bool // cookies are for encrypted connections only

	mu       sync.Mutex         // guards the fields below
	codes    map[keys.Hash]code // by their hashes
	opened   map[keys.Hash]code // by the hashes of what lets a page of elsewhere lead to the login, once
	failures []time.Time        // of the last attempts that were wrong
}

// code is what can be used once until its end.
type code struct {
	end    time.Time
	secret keys.Hash // of the key
}

func newSessions(ring *keyring, secure bool) *sessions {
	return &sessions{keys: ring, secure: secure, codes: map[keys.Hash]code{}, opened: map[keys.Hash]code{}}
}

// newCode returns a code with which a browser can log in once.
func (s *sessions) newCode() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return put(s.codes, code{time.Now().Add(codeTime), s.keys.owner})
}

// newOpening returns a text with which a page of elsewhere can lead to the login once.
func (s *sessions) newOpening() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return put(s.opened, code{end: time.Now().Add(codeTime)})
}

// opens reports whether a request is for the login and has a text that lets a page of
// elsewhere lead there, which it uses up.
func (s *sessions) opens(r *http.Request) bool {
	if r.Method != http.MethodGet || r.URL.Path != loginPath || r.Header.Get("Sec-Fetch-Mode") != "navigate" {
		return false
	}
	hash := keys.HashOf(r.URL.Query().Get(openParam))
	s.mu.Lock()
	defer s.mu.Unlock()
	opening, ok := s.opened[hash]
	delete(s.opened, hash)
	return ok && time.Now().Before(opening.end)
}

// put adds a random text to a set of hashes, where it stays until its end.
func put(set map[keys.Hash]code, added code) string {
	now := time.Now()
	first := keys.Hash{}
	for hash, have := range set {
		if !now.Before(have.end) {
			delete(set, hash)
		} else if first == (keys.Hash{}) || have.end.Before(set[first].end) {
			first = hash
		}
	}
	if len(set) >= maxCodes {
		delete(set, first)
	}
	text := rand.Text()
	set[keys.HashOf(text)] = added
	return text
}

// login checks a key or a code and returns the value of a cookie; empty if it is neither.
// It reports whether the attempt was looked at: too many wrong ones are not. The error is
// that of the store of keys.
func (s *sessions) login(ctx context.Context, secret string) (cookie string, looked bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for len(s.failures) > 0 && now.Sub(s.failures[0]) > failureTime {
		s.failures = s.failures[1:]
	}
	if len(s.failures) >= maxFailures {
		return "", false, nil
	}
	hash := keys.HashOf(secret)
	code, isCode := s.codes[hash]
	delete(s.codes, hash)
	if isCode && now.Before(code.end) {
		hash = code.secret
	}
	id, err := s.keys.bySecret(ctx, hash)
	switch {
	case err != nil:
		return "", true, err
	case id == nil:
		s.failures = append(s.failures, now)
		return "", true, nil
	}
	token := rand.Text()
	if err := s.keys.store.AddSession(ctx, keys.HashOf(token), keys.Session{Secret: hash, Expires: now.Add(sessionTime)}, now); err != nil {
		return "", true, err
	}
	return token, true, nil
}

// logout ends the sessions that a request has the cookies of.
func (s *sessions) logout(r *http.Request) error {
	for _, c := range cookiesOf(r) {
		if err := s.keys.store.EndSession(r.Context(), keys.HashOf(c.Value)); err != nil {
			return err
		}
	}
	return nil
}

// secret returns the hash of the key of the session that a request has the cookie of; ok
// is false if it has none. The error is that of the store.
func (s *sessions) secret(r *http.Request) (secret keys.Hash, ok bool, err error) {
	for _, c := range cookiesOf(r) {
		session, err := s.keys.store.Session(r.Context(), keys.HashOf(c.Value), time.Now())
		if err == nil {
			return session.Secret, true, nil
		}
		if !errors.Is(err, keys.ErrNoSession) {
			return keys.Hash{}, false, err
		}
	}
	return keys.Hash{}, false, nil
}

// cookiesOf returns the cookies of sessions that a request has, that of its port first. Others
// may be of a server of the same store behind another port.
func cookiesOf(r *http.Request) []*http.Cookie {
	found := r.CookiesNamed(cookieName(r))
	for _, c := range r.Cookies() {
		if c.Name != cookieName(r) && (c.Name == cookieBase || strings.HasPrefix(c.Name, cookieBase+"-")) {
			found = append(found, c)
		}
	}
	return found[:min(len(found), maxCookies)]
}

const cookieBase = "claude-force"

// cookieName returns the name of the session's cookie, with the port of the connection.
func cookieName(r *http.Request) string {
	name := cookieBase
	if addr, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		name += "-" + strconv.Itoa(addr.Port)
	}
	return name
}

// LoginCode returns a code for the page /login, in the fragment of its address. It can
// be used once within ten minutes.
func (s *Server) LoginCode() string { return s.sessions.newCode() }

// LoginPath returns the path of a page that logs a browser in with a code of its own, as
// [Server.LoginCode], for a file of the user that leads there: pages of elsewhere may not
// otherwise.
func (s *Server) LoginPath() string {
	return loginPath + "?" + url.Values{openParam: {s.sessions.newOpening()}}.Encode() + "#" + s.LoginCode()
}

// addLogin adds the routes by which browsers log in and out.
func (s *Server) addLogin() {
	s.table.handlePublic("GET /login", func(w http.ResponseWriter, r *http.Request) {
		s.pages.Login(w, r, http.StatusOK, "")
	})
	s.table.handlePublic("POST /login", s.login)
	s.table.handlePage("POST "+logoutPath, func(w http.ResponseWriter, r *http.Request) {
		if err := s.sessions.logout(r); err != nil {
			s.log.Error("session not ended", "err", err)
			writeNoStore(w, r)
			return
		}
		for _, c := range cookiesOf(r) {
			http.SetCookie(w, &http.Cookie{Name: c.Name, Path: "/", MaxAge: -1, HttpOnly: true, Secure: s.sessions.secure, SameSite: http.SameSiteStrictMode})
		}
		http.Redirect(w, r, loginPath, http.StatusSeeOther)
	})
}

func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	cookie, looked, err := s.sessions.login(r.Context(), strings.TrimSpace(r.PostFormValue("key")))
	switch {
	case err != nil:
		s.log.Error("key not looked up", "err", err)
		s.pages.Login(w, r, http.StatusServiceUnavailable, "The keys cannot be read; the server's log says why.")
	case !looked:
		w.Header().Set("Retry-After", strconv.Itoa(int(failureTime.Seconds())))
		s.pages.Login(w, r, http.StatusTooManyRequests, "Too many wrong keys. Try again in a minute.")
	case cookie == "":
		s.pages.Login(w, r, http.StatusForbidden, "That is neither a key nor a login code that can still be used.")
	default:
		http.SetCookie(w, &http.Cookie{
			Name: cookieName(r), Value: cookie, Path: "/", MaxAge: int(sessionTime.Seconds()), HttpOnly: true, Secure: s.sessions.secure, SameSite: http.SameSiteStrictMode,
		})
		http.Redirect(w, r, cmp.Or(web.LocalTarget(r.PostFormValue("next")), "/"), http.StatusSeeOther)
	}
}

const (
	loginPath  = "/login"
	openParam  = "open"
	logoutPath = "/logout"
)

// toLogin sends a browser that is not logged in to the page where it can.
func toLogin(w http.ResponseWriter, r *http.Request) {
	target := loginPath
	if next := web.LocalTarget(r.URL.RequestURI()); r.Method == http.MethodGet && next != "" && next != "/" {
		target += "?" + url.Values{"next": {next}}.Encode()
	}
	w.Header().Set("Location", target)
	w.WriteHeader(http.StatusSeeOther)
}
