package server

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/keys"
)

// maxBody bounds the body of a request, in bytes, where its route says nothing else.
const maxBody = 1 << 20

// guard is what every request passes before its handler. The order matters: who is
// asked for (a name that an attacker's DNS server can point at a loopback address is
// none of ours), then from where (a page of another site), then who asks.
type guard struct {
	hosts []string // names that the server answers to beside localhost
	keys  *keyring
	cross *http.CrossOriginProtection
	table *table

	sessions *sessions
	log      *slog.Logger
}

// serve answers a request that may reach the table of routes, for the route that it has
// there.
func (g *guard) serve(w http.ResponseWriter, r *http.Request, route Route) {
	setHeaders(w.Header())
	r.Body = http.MaxBytesReader(w, r.Body, g.table.maxBody(route))
	switch {
	case !g.answersTo(r):
		writeProblem(w, r, &Problem{Status: http.StatusMisdirectedRequest, Code: "host", Detail: "the server does not answer to this host name; allow it where the server is started"})
	case g.foreign(r) && !g.sessions.opens(r):
		writeProblem(w, r, &Problem{Status: http.StatusForbidden, Code: "cross_origin", Detail: "pages of other sites may not use this server"})
	case route.Public:
		g.table.ServeHTTP(w, r)
	default:
		g.admit(w, r, route)
	}
}

// admit hands a request to the table if its key is for the route.
func (g *guard) admit(w http.ResponseWriter, r *http.Request, route Route) {
	secret, known := secretOf(r.Header)
	var err error
	if !known && route.Page {
		secret, known, err = g.sessions.secret(r)
	}
	var id *keys.Identity
	if err == nil && known {
		id, err = g.keys.bySecret(r.Context(), secret)
	}
	if err != nil {
		g.log.Error("key not looked up", "err", err)
		writeNoStore(w, r)
		return
	}
	if id == nil && route.Page {
		toLogin(w, r)
		return
	}
	if id == nil {
		w.Header().Set("WWW-Authenticate", `Bearer realm="claude-force"`)
		writeProblem(w, r, &Problem{Status: http.StatusUnauthorized, Code: "key", Detail: "the request needs a key, as `Authorization: Bearer KEY` or `x-api-key: KEY`"})
		return
	}
	if need := route.Needs; !id.Role.Allows(need) {
		writeProblem(w, r, &Problem{Status: http.StatusForbidden, Code: "role", Detail: "the key has the role " + string(id.Role) + ", and this needs " + string(need)})
		return
	}
	if !route.Page && !g.keys.take(w, r, id) {
		return
	}
	ctx, release := g.keys.hold(r.Context(), id, secret)
	defer release()
	g.table.ServeHTTP(w, r.WithContext(ctx))
}

// setHeaders sets what holds for every answer: no page of another site can frame it
// or read it, no browser guesses its type, no cache keeps it.
func setHeaders(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// answersTo reports whether the request is for a host of this server: a name that it
// was given, localhost, or the address that the connection came in at.
func (g *guard) answersTo(r *http.Request) bool {
	host := hostOf(r.Host)
	if host == "localhost" || strings.HasSuffix(host, ".localhost") || slices.Contains(g.hosts, host) {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	if err != nil {
		return false
	}
	local, ok := localAddr(r.Context())
	if !ok {
		return false
	}
	return addr.Unmap() == local || addr.Unmap().IsLoopback() && local.IsLoopback()
}

// hostOf returns the host of a Host header in small letters, without port and the dot
// at its end.
func hostOf(header string) string {
	host := header
	if name, _, err := net.SplitHostPort(header); err == nil {
		host = name
	}
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

// localAddr returns the address that a request's connection came in at.
func localAddr(ctx context.Context) (netip.Addr, bool) {
	addr, ok := ctx.Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok {
		return netip.Addr{}, false
	}
	ip, ok := netip.AddrFromSlice(addr.IP)
	return ip.Unmap(), ok
}

// foreign reports whether a browser sends the request for a page of another site.
// [http.CrossOriginProtection] lets every GET through, and events and outputs are
// read with GET. Another port of this machine is another site as well, whatever
// browsers call it.
func (g *guard) foreign(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		return true
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		_, host, ok := strings.Cut(origin, "://")
		if !ok || !strings.EqualFold(host, r.Host) {
			return true
		}
	}
	return g.cross.Check(r) != nil
}

// secretOf returns the hash of the key that a request has; ok is false if it has none that
// can be one. A request that has several must have the same in all.
func secretOf(h http.Header) (secret keys.Hash, ok bool) {
	key, ok := keyOf(h)
	if !ok || !keys.Valid(key) {
		return keys.Hash{}, false
	}
	return keys.HashOf(key), true
}

// keyOf returns the key that a request has; ok is false if it has none, or several.
func keyOf(h http.Header) (key string, ok bool) {
	given := slices.DeleteFunc(slices.Clone(h.Values("X-Api-Key")), func(key string) bool { return key == "" })
	for _, auth := range h.Values("Authorization") {
		scheme, key, _ := strings.Cut(auth, " ")
		if auth == "" {
			continue
		}
		if !strings.EqualFold(scheme, "Bearer") {
			return "", false
		}
		given = append(given, strings.TrimSpace(key))
	}
	if len(given) == 0 || slices.ContainsFunc(given, func(key string) bool { return key != given[0] }) {
		return "", false
	}
	return given[0], true
}
