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

// sessions logs browsers in and out. Those that have logged in are in the store of keys, so
// that all servers of one store know them; the codes with which they can are known to the
// server that has shown them. A cookie holds a random text that no other store knows, and has the port in
// its name: browsers send cookies to every port of a host.
type sessions struct {
	keys   *keyring
	secure bool // cookies are for encrypted connections only

	mu       sync.Mutex  // guards the fields below
	codes    codes       // with which a browser logs in as the owner
	opened   codes       // that let a page of elsewhere lead to the login
	failures []time.Time // of the last attempts that were wrong
}

// codes has the ends of random texts that can be used once, by their hashes.
type codes map[keys.Hash]time.Time

func newSessions(ring *keyring, secure bool) *sessions {
	return &sessions{keys: ring, secure: secure, codes: codes{}, opened: codes{}}
}

// newCode returns a code with which a browser can log in once.
func (s *sessions) newCode() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.codes.add(time.Now())
}

// newOpening returns a text with which a page of elsewhere can lead to the login once.
func (s *sessions) newOpening() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened.add(time.Now())
}

// opens reports whether a request is for the login and has a text that lets a page of
// elsewhere lead there, which it uses up.
func (s *sessions) opens(r *http.Request) bool {
	if r.Method != http.MethodGet || r.URL.Path != loginPath || r.Header.Get("Sec-Fetch-Mode") != "navigate" {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened.use(keys.HashOf(r.URL.Query().Get(openParam)), time.Now())
}

// add adds a new text, in the place of the one that ends first if there are too many.
func (c codes) add(now time.Time) (text string) {
	first := keys.Hash{}
	for hash, end := range c {
		if !now.Before(end) {
			delete(c, hash)
		} else if first == (keys.Hash{}) || end.Before(c[first]) {
			first = hash
		}
	}
	if len(c) >= maxCodes {
		delete(c, first)
	}
	text = rand.Text()
	c[keys.HashOf(text)] = now.Add(codeTime)
	return text
}

// use removes a text, and reports whether it could be used.
func (c codes) use(text keys.Hash, now time.Time) bool {
	end, ok := c[text]
	delete(c, text)
	return ok && now.Before(end)
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
	if s.codes.use(hash, now) {
		hash = s.keys.owner
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
