package server

import (
	"net/http"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/keys"
)

// Route is an entry of the table of routes.
type Route struct {
	Pattern string    // as [http.ServeMux] takes it
	Public  bool      // needs no key
	Needs   keys.Role // of the key
}

// managed are the paths whose routes need [keys.RoleAdmin]: those of the first also to
// look at, those of the second only to change.
var managed = [2]string{"/api/v1/keys", "/api/v1/cache"}

// roleFor returns the role that a route needs: what changes nothing can be read, the
// rest is for those who run workflows, unless it manages the server.
func roleFor(pattern string) keys.Role {
	method, path, _ := strings.Cut(pattern, " ")
	within := func(top string) bool { return path == top || strings.HasPrefix(path, top+"/") }
	switch {
	case within(managed[0]), within(managed[1]) && method != http.MethodGet:
		return keys.RoleAdmin
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
	public map[string]bool // by pattern
}

func newTable() *table { return &table{mux: http.NewServeMux(), public: map[string]bool{}} }

// HandleFunc adds a route that needs a key.
func (t *table) HandleFunc(pattern string, handle func(http.ResponseWriter, *http.Request)) {
	t.routes = append(t.routes, Route{Pattern: pattern, Needs: roleFor(pattern)})
	t.mux.HandleFunc(pattern, handle)
}

// handlePublic adds a route that needs no key.
func (t *table) handlePublic(pattern string, handle http.HandlerFunc) {
	t.routes = append(t.routes, Route{Pattern: pattern, Public: true})
	t.public[pattern] = true
	t.mux.HandleFunc(pattern, handle)
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
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := t.mux.Handler(other); pattern != "" {
			writeProblem(w, r, &Problem{Status: http.StatusMethodNotAllowed, Code: "method", Detail: "the address takes other methods, such as " + method})
			return
		}
	}
	writeProblem(w, r, &Problem{Status: http.StatusNotFound, Code: "no_route", Detail: "there is nothing at this address"})
}

// isPublic reports whether the route of a request needs no key. What has no route
// needs one, so that no caller without one learns what there is.
func (t *table) isPublic(r *http.Request) bool {
	_, pattern := t.mux.Handler(r)
	return t.public[pattern]
}

// needs returns the role that the route of a request needs.
func (t *table) needs(r *http.Request) keys.Role {
	_, pattern := t.mux.Handler(r)
	return roleFor(pattern)
}

// list returns the routes, by pattern.
func (t *table) list() []Route {
	return slices.SortedFunc(slices.Values(t.routes), func(a, b Route) int { return compare(a.Pattern, b.Pattern) })
}
