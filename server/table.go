package server

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/keys"
)

// Route is an entry of the table of routes.
type Route struct {
	Pattern string    // as [http.ServeMux] takes it
	Public  bool      // needs no key
	Page    bool      // for browsers, which may have a session in the place of a key
	Needs   keys.Role // of the key
}

// roleFor returns the role that a route needs: what changes nothing can be read, the
// rest is for those who run workflows, unless it manages the server.
func roleFor(pattern string) keys.Role {
	method, path, _ := strings.Cut(pattern, " ")
	within := func(top string) bool { return path == top || strings.HasPrefix(path, top+"/") }
	switch {
	case (within("/api/v1/schedules") || within("/schedules")) && method != http.MethodGet: // their runs are charged to no key
		return keys.RoleOwner
	case pattern == "POST /api/v1/webhooks", pattern == "DELETE /api/v1/webhooks/{webhook}", pattern == "POST /webhooks", pattern == "POST /webhooks/{webhook}/remove": // where to the server sends
		return keys.RoleOwner
	case within("/v1/files"), within("/v1/messages/batches"): // those of all who use the operator's account
		return keys.RoleOwner
	case within("/api/v1/keys"), within("/keys"), within("/api/v1/webhooks"), within("/webhooks"), method == http.MethodDelete:
		return keys.RoleAdmin
	case within("/api/v1/cache") && method != http.MethodGet:
		return keys.RoleAdmin
	case path == logoutPath:
		return keys.RoleRead
	case within("/v1"): // acts with the operator's credential
		return keys.RoleRun
	case method == http.MethodGet:
		return keys.RoleRead
	default:
		return keys.RoleRun
	}
}

// table is the one table of routes: whatever the server answers is in it, and needs
// a key unless it says that it does not.
type table struct {
	mux    *http.ServeMux
	routes []Route
	known  map[string]Route // by pattern
	bodies map[string]int64 // by pattern, where a body may be larger than maxBody
}

func newTable() *table {
	return &table{mux: http.NewServeMux(), known: map[string]Route{}, bodies: map[string]int64{}}
}

// HandleFunc adds a route that needs a key.
func (t *table) HandleFunc(pattern string, handle func(http.ResponseWriter, *http.Request)) {
	t.add(Route{Pattern: pattern, Needs: roleFor(pattern)}, handle)
}

// handleLarge adds a route that needs a key and takes bodies of so many bytes.
func (t *table) handleLarge(pattern string, body int64, handle http.HandlerFunc) {
	t.HandleFunc(pattern, handle)
	t.bodies[pattern] = body
}

// handlePublic adds a route that needs no key.
func (t *table) handlePublic(pattern string, handle http.HandlerFunc) {
	t.add(Route{Pattern: pattern, Public: true}, handle)
}

// handlePage adds a route that needs a session or a key.
func (t *table) handlePage(pattern string, handle http.HandlerFunc) {
	t.add(Route{Pattern: pattern, Page: true, Needs: roleFor(pattern)}, handle)
}

func (t *table) add(route Route, handle http.HandlerFunc) {
	t.routes = append(t.routes, route)
	t.known[route.Pattern] = route
	t.mux.HandleFunc(route.Pattern, handle)
}

// ServeHTTP hands a request to its route.
func (t *table) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, pattern := t.mux.Handler(r); pattern == "" {
		t.refuse(w, r)
		return
	}
	t.mux.ServeHTTP(w, r)
}

// refuse answers a request that no route is for.
func (t *table) refuse(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := t.mux.Handler(other); pattern != "" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) > 0 {
		list := strings.Join(allowed, ", ")
		w.Header().Set("Allow", list)
		writeProblem(w, r, &Problem{Status: http.StatusMethodNotAllowed, Code: "method", Detail: "the address takes other methods: " + list})
		return
	}
	writeProblem(w, r, &Problem{Status: http.StatusNotFound, Code: "no_route", Detail: "there is nothing at this address"})
}

// route returns the route of a request. What has none needs a key, so that no caller
// without one learns what there is.
func (t *table) route(r *http.Request) Route {
	_, pattern := t.mux.Handler(r)
	if route, ok := t.known[pattern]; ok {
		return route
	}
	return Route{Needs: roleFor(pattern)}
}

// maxBody returns the most bytes of the body of a route's request.
func (t *table) maxBody(route Route) int64 { return max(t.bodies[route.Pattern], maxBody) }

// list returns the routes, by pattern.
func (t *table) list() []Route {
	return slices.SortedFunc(slices.Values(t.routes), func(a, b Route) int { return cmp.Compare(a.Pattern, b.Pattern) })
}
