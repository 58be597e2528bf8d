package toolset

import (
	"context"
	"encoding/json"

	"github.com/claude-force/claude-force/tool/permission"
)

// Request is what the one who is asked about a request of a step sees of it.
type Request struct {
	Method string `json:"method"`
	URL    string `json:"url"`
	Body   string `json:"body,omitempty"`
}

// CheckRequest reports, before anything runs, a request that may not be sent: a
// [*DeniedError]. With asks, a user can be asked about it.
func (p *Project) CheckRequest(ctx context.Context, allow []string, r Request, asks bool) error {
	input, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := deniedPlan(p.options.Policy.Mode, r); err != nil {
		return err
	}
	d, err := p.judge(ctx, allow, "WebFetch", input, p.options.Dir)
	if err != nil || d.Outcome == permission.Allow || d.Outcome == permission.Ask && asks {
		return err
	}
	return deniedRequest(d.Reason, r)
}

// NamesHost reports whether a rule of the user grants exactly that host: see
// [permission.Policy.NamesHost].
func (p *Project) NamesHost(host string) bool { return p.options.Policy.NamesHost(host) }

// PermitRequest returns why a request may not be sent: nil if the user's rules, or the
// one who is asked, allow it. allow is as for [Commands.Run].
func (c *Commands) PermitRequest(ctx context.Context, allow []string, r Request) error {
	input, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := deniedPlan(c.session.project.options.Policy.Mode, r); err != nil {
		return err
	}
	reason, err := c.permit(ctx, allow, "WebFetch", input, c.env.Dir())
	if err != nil {
		return err
	}
	if reason != "" {
		return deniedRequest(reason, r)
	}
	return nil
}

// deniedPlan denies requests that can change something in the mode that changes nothing.
func deniedPlan(mode permission.Mode, r Request) error {
	if mode != permission.ModePlan || r.Method == "GET" || r.Method == "HEAD" {
		return nil
	}
	return &DeniedError{r.Method + " " + r.URL + " may not be sent", "in plan mode nothing is changed.", ""}
}

func deniedRequest(reason string, r Request) error {
	rule := ""
	if host := permission.HostOf(r.URL); host != "" {
		rule = "WebFetch(domain:" + host + ")"
	}
	return &DeniedError{r.Method + " " + r.URL + " may not be sent", reason, rule}
}
