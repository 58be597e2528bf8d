package web

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/plan"
	"github.com/claude-force/claude-force/workflow"
)

// workflowsData are the workflows that have names.
type workflowsData struct {
	Workflows []workflowRow
	Problems  []string
}

// workflowRow is a workflow with what its runs came to lately.
type workflowRow struct {
	claudeforce.WorkflowInfo
	Figures analytics.Figures // of the last 30 days
}

func (p *Pages) workflows(r *http.Request) (*view, error) {
	list, problems, err := p.opts.Workflows(r.Context())
	if err != nil {
		return nil, err
	}
	figures, err := p.figuresBy(r, analytics.ByWorkflow)
	if err != nil {
		return nil, err
	}
	data := &workflowsData{Problems: problems}
	for _, w := range list {
		data.Workflows = append(data.Workflows, workflowRow{w, figures[w.Title]})
	}
	return &view{Page: "workflows", Title: "Workflows", Nav: "workflows", Data: data}, nil
}

const (
	// maxSource is how many characters of a workflow's file are shown.
	maxSource = 60_000

	// fieldPrefix is before the name of a parameter in the names of fields.
	fieldPrefix = "p."
)

// workflowData is a workflow with the form that starts it.
type workflowData struct {
	Name     string // as its address has it
	Title    string
	About    string
	Valid    bool
	Problems []claudeforce.FileProblem
	Drawing  template.HTML
	Steps    int
	Text     string // the drawing in words, if there are too many steps for boxes
	Fields   []paramField
	Budget   string
	Refresh  bool
	Engines  []string // to choose from, beside the server
	Engine   string   // that is chosen; empty for the server
	Source   string
	Cut      bool // the source is not whole
	Recent   []journal.Run

	Plan    *plan.Plan
	Refused string // why there is no plan
	Hidden  []hiddenField
	Once    string // names the run that is started, however often it is sent
}

// paramField is a parameter in a form.
type paramField struct {
	Name, ID, Type, About string
	Value                 string
	Required              bool
	Kind                  string // text, lines, number, integer, boolean or json
}

// hiddenField is a field with the value that was planned with.
type hiddenField struct{ Name, Value string }

func (p *Pages) workflow(r *http.Request) (*view, error) {
	name := r.PathValue("workflow")
	wf, problems, err := p.opts.Workflow(r.Context(), name)
	if err != nil {
		return nil, err
	}
	data := &workflowData{Name: name, Title: name, Problems: problems}
	v := &view{Page: "workflow", Title: name, Nav: "workflows", Data: data}
	if wf == nil {
		return v, nil
	}
	data.Valid, data.Steps, data.About = true, len(wf.Steps), wf.Description
	if wf.Name != "" {
		data.Title, v.Title = wf.Name, wf.Name
	}
	q := r.URL.Query()
	if len(wf.Steps) <= maxBoxes || q.Get("draw") != "" {
		data.Drawing = drawing(wf)
	} else {
		data.Text = cutText(wf.Text(), maxSource)
	}
	data.Source = cutText(string(wf.Source), maxSource)
	data.Cut = len(data.Source) < len(wf.Source)
	for i := range wf.Params {
		data.Fields = append(data.Fields, fieldOf(&wf.Params[i], q))
	}
	data.Budget, data.Refresh = q.Get("budget"), q.Get("refresh") != ""
	data.Engines, data.Engine = p.opts.Engines, q.Get("engine")
	if data.Recent, err = p.list(r.Context(), journal.Filter{Workflow: wf.Name, Limit: 5}); err != nil {
		return nil, err
	}
	if q.Get("plan") != "" {
		p.plan(r, data)
	}
	return v, nil
}

// plan plans the run that a form asks for.
func (p *Pages) plan(r *http.Request, data *workflowData) {
	q := r.URL.Query()
	q.Set("workflow", data.Name)
	s, err := startFrom(q)
	if err == nil {
		data.Plan, err = p.opts.Plan(r.Context(), *s)
	}
	if err != nil {
		_, data.Refused = p.opts.Problem(err)
		return
	}
	for _, name := range append([]string{"budget", "refresh", "engine"}, fieldNames(data.Fields)...) {
		if q.Has(name) {
			data.Hidden = append(data.Hidden, hiddenField{name, q.Get(name)})
		}
	}
	data.Once = rand.Text()
}

func fieldNames(fields []paramField) (names []string) {
	for _, f := range fields {
		names = append(names, fieldPrefix+f.Name)
	}
	return names
}

// fieldOf returns the field of a parameter, with what the reader has filled in or its
// default.
func fieldOf(param *workflow.Param, q url.Values) paramField {
	f := paramField{Name: param.Name, ID: "param-" + param.Name, About: param.Description, Required: !param.HasDefault, Type: param.Type, Kind: "text"}
	if param.Format != "" {
		f.Type = param.Format
	}
	if param.HasDefault {
		f.Value = defaultText(param.Default)
	}
	if q.Has(fieldPrefix + param.Name) {
		f.Value = q.Get(fieldPrefix + param.Name)
	}
	switch f.Type {
	case "integer", "number", "boolean":
		f.Kind = f.Type
	case "string":
		if strings.Contains(f.Value, "\n") {
			f.Kind = "lines"
		}
	case "array", "object", workflow.FormatJSON:
		f.Kind = "json"
	case workflow.FormatCSV, workflow.FormatLines:
		f.Kind = "lines"
	}
	return f
}

// defaultText returns a value as the text that stands for it.
func defaultText(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(data)
}

// startFrom returns the run that the fields of a form ask for. Fields that are empty
// stand for the defaults of their parameters.
func startFrom(form url.Values) (*Start, error) {
	s := &Start{Workflow: form.Get("workflow"), Params: map[string]string{}, Refresh: form.Get("refresh") != "", Engine: form.Get("engine")}
	for name := range form {
		if param, ok := strings.CutPrefix(name, fieldPrefix); ok && form.Get(name) != "" {
			s.Params[param] = strings.ReplaceAll(form.Get(name), "\r\n", "\n")
		}
	}
	if text := form.Get("budget"); text != "" {
		usd, err := strconv.ParseFloat(text, 64)
		if err != nil || !(usd >= 0 && usd < 1e9) {
			return nil, fault.Input(fmt.Errorf("the budget %q is no amount of US dollars", text))
		}
		s.BudgetUSD = &usd
	}
	if s.Workflow == "" {
		return nil, fault.Input(errors.New("no workflow is named"))
	}
	return s, nil
}

// drawing returns the graph of a workflow as SVG, without the style that pages may not
// have within them: that of the page applies.
func drawing(wf *workflow.Workflow) template.HTML {
	text := string(wf.SVG())
	before, rest, _ := strings.Cut(text, "<style>")
	_, after, _ := strings.Cut(rest, "</style>")
	return template.HTML(before + after) //nolint:gosec // the drawing escapes what is in the file
}

// cutText returns the beginning of a text, at most n characters.
func cutText(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "")
}
