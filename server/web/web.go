// Package web has the pages of the server for people: what runs, what it costs, what
// waits for an answer. They are HTML from templates, complete without a script; a small
// script replaces the parts of a page that change while it is looked at.
//
// What models, agents and files say is shown as text. Nothing of it becomes markup, and
// no page loads anything from elsewhere.
package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/keys"
	"github.com/claude-force/claude-force/runs"
)

// Options configure [Pages]. All but Version must be set.
type Options struct {
	Store   journal.Store
	Runs    *runs.Reader // of Store
	Dir     string       // folder of the project
	Config  *config.Config
	Version string // of the program

	Operations // of the API

	// Problem returns the HTTP status of an error and what to say about it.
	Problem func(error) (status int, detail string)

	// Cancel stops a run.
	Cancel func(ctx context.Context, run string) error
	// Resume resumes a run; with accept although its workflow or files have changed.
	Resume func(ctx context.Context, run string, accept bool) error
	// Answer answers the question that a step of a run waits for.
	Answer func(ctx context.Context, run, step string, d journal.Decision) error
}

// Pages are the pages of a server.
type Pages struct {
	opts    Options
	mux     *http.ServeMux // of the pages that can be drawn
	routes  []Route
	asked   *runs.QuestionCache
	today   *today
	reasons *reasons
}

// Route is a page, or what belongs to pages.
type Route struct {
	Pattern string // as [http.ServeMux] takes it
	Public  bool   // needs no session
	Handle  http.HandlerFunc
}

// New returns the pages of a server.
func New(opts Options) *Pages {
	p := &Pages{opts: opts, mux: http.NewServeMux(), asked: runs.NewQuestionCache(opts.Store), today: &today{config: opts.Config}, reasons: &reasons{store: opts.Store}}
	p.routes = append(p.routes, Route{"GET /static/{file}", true, serveStatic})
	p.page("GET /{$}", p.now)
	p.page("GET /runs", p.runs)
	p.page("GET /runs/{run}", p.run)
	p.page("GET /runs/{run}/steps/{step...}", p.step)
	p.page("GET /approvals", p.approvals)
	p.action("POST /runs/{run}/answer", p.answer)
	p.action("POST /runs/{run}/cancel", p.cancel)
	p.action("POST /runs/{run}/resume", p.resume)
	p.addFigures()
	p.addProject()
	p.addService()
	p.addKeys()
	if opts.Schedules.List != nil {
		p.addSchedules()
	}
	if opts.Webhooks.List != nil {
		p.addWebhooks()
	}
	p.page("GET /compare", p.compare)
	return p
}

// Routes returns what the server must serve for the pages.
func (p *Pages) Routes() []Route { return p.routes }

// view is what a page shows.
type view struct {
	Page      string // the name of its template
	Title     string
	Nav       string   // the entry of the menu that it belongs to
	Fragments []string // the templates of its parts that change, each of one element with its name as id
	Run       string   // id of the run that it is about
	Seq       int64    // of the last event of the run that it shows
	Data      any

	Status    int    // of HTTP; 0 for OK
	Target    string // the page's own address
	Version   string
	Project   string
	Waiting   int    // runs that wait for a person
	Manages   bool   // the reader may manage keys and webhooks
	Scheduled bool   // the server follows schedules
	Notifies  bool   // the server sends to webhooks
	Alert     string // what went wrong with what the reader asked for
}

// Live reports whether parts of the page change.
func (v *view) Live() bool { return len(v.Fragments) > 0 }

// page adds a page.
func (p *Pages) page(pattern string, show func(*http.Request) (*view, error)) {
	handle := func(w http.ResponseWriter, r *http.Request) {
		v, err := show(r)
		if c, ok := w.(*canvas); ok {
			c.view, c.err = v, err
			return
		}
		if err != nil {
			v = p.problem(err)
		}
		p.write(w, r, v)
	}
	p.mux.HandleFunc(pattern, handle)
	p.routes = append(p.routes, Route{Pattern: pattern, Handle: handle})
}

// action adds what a form asks for. It returns the address of the page that shows what
// came of it.
func (p *Pages) action(pattern string, do func(*http.Request) (string, error)) {
	p.routes = append(p.routes, Route{Pattern: pattern, Handle: func(w http.ResponseWriter, r *http.Request) {
		target, err := do(r)
		if err != nil {
			p.write(w, r, p.problem(err))
			return
		}
		http.Redirect(w, r, target, http.StatusSeeOther)
	}})
}

// form adds what a form asks for whose answer is a page itself.
func (p *Pages) form(pattern string, do func(*http.Request) (*view, error)) {
	p.routes = append(p.routes, Route{Pattern: pattern, Handle: func(w http.ResponseWriter, r *http.Request) {
		v, err := do(r)
		if err != nil {
			v = p.problem(err)
		}
		p.write(w, r, v)
	}})
}

// problem returns the page that says what is wrong.
func (p *Pages) problem(err error) *view {
	status, detail := p.opts.Problem(err)
	return &view{Page: "problem", Title: http.StatusText(status), Status: status, Data: detail}
}

// securityPolicy allows what pages need: their own script, style and pictures, and
// nothing within their text.
const securityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// allows reports whether the reader of a page may do what needs a role.
func allows(r *http.Request, role keys.Role) bool {
	id := keys.FromContext(r.Context())
	return id != nil && id.Role.Allows(role)
}

// write answers with a page.
func (p *Pages) write(w http.ResponseWriter, r *http.Request, v *view) {
	v.Version, v.Project = p.opts.Version, baseName(p.opts.Dir)
	v.Scheduled, v.Notifies = p.opts.Schedules.List != nil, p.opts.Webhooks.List != nil
	if r.Method == http.MethodGet {
		v.Target = r.URL.RequestURI()
	}
	if v.Page != "login" { // whose readers may be anyone
		v.Waiting = p.waiting(r.Context())
	}
	v.Manages = allows(r, keys.RoleAdmin)
	text, err := render(v.Page, "layout", v)
	if err != nil {
		_, _ = p.opts.Problem(err) // for the log
		http.Error(w, "the page cannot be shown; the server's log says why", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Security-Policy", securityPolicy)
	h.Set("Referrer-Policy", "same-origin") // with no-referrer, browsers send forms without their origin
	h.Set("Content-Type", "text/html; charset=utf-8")
	if v.Status != 0 {
		w.WriteHeader(v.Status)
	}
	_, _ = w.Write(text) // the client may be gone
}

// maxWaiting is up to how many runs that wait are counted.
const maxWaiting = 99

// waiting returns how many runs wait for a person; 0 if that cannot be read, which the
// pages of runs say.
func (p *Pages) waiting(ctx context.Context) (n int) {
	for _, err := range p.opts.Store.Runs(ctx, journal.Filter{Statuses: []journal.Status{journal.StatusWaiting}, Limit: maxWaiting}) {
		if err != nil {
			return 0
		}
		n++
	}
	return n
}

// Login answers with the page on which people log in.
func (p *Pages) Login(w http.ResponseWriter, r *http.Request, status int, alert string) {
	next := r.FormValue("next")
	p.write(w, r, &view{Page: "login", Title: "Log in", Status: status, Alert: alert, Data: LocalTarget(next)})
}

// LocalTarget returns an address of this server, such as /runs?status=failed, and an
// empty text for all others.
func LocalTarget(target string) string {
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(target, "/") ||
		strings.HasPrefix(target, "//") || strings.ContainsAny(target, "\\\r\n\t") {
		return ""
	}
	u.Fragment = ""
	return u.String()
}

// Drawing is a page as it is, for those who have it open.
type Drawing struct {
	Run       string // id of the run that it is about; empty for none
	Seq       int64  // of the last event of the run that it shows
	Fragments []Fragment
}

// Fragment is an element of a page.
type Fragment struct {
	ID   string `json:"id"`
	HTML string `json:"html"` // the whole element
}

// canvas takes the view of a page that is not sent.
type canvas struct {
	http.ResponseWriter
	view *view
	err  error
}

var errNoPage = errors.New("there is no page at this address")

// Draw returns the parts of a page that change. The page has an address as [LocalTarget]
// returns it.
func (p *Pages) Draw(ctx context.Context, target string) (*Drawing, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, fmt.Errorf("reading the address of a page: %w", err)
	}
	c := &canvas{err: errNoPage}
	if _, pattern := p.mux.Handler(r); pattern != "" {
		p.mux.ServeHTTP(c, r)
	}
	if c.err != nil {
		return nil, c.err
	}
	v := c.view
	v.Target = target
	d := &Drawing{Run: v.Run, Seq: v.Seq}
	for _, name := range v.Fragments {
		text, err := render(v.Page, name, v)
		if err != nil {
			return nil, err
		}
		d.Fragments = append(d.Fragments, Fragment{name, string(bytes.TrimSpace(text))})
	}
	return d, nil
}
