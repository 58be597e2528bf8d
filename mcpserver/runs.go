package mcpserver

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/keys"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/server"
)

// hints say what a model can do about a problem, by its code and the tool.
var hints = map[string]string{
	"input execute":        "list_agents lists the agents.",
	"input start_run":      "list_workflows lists the workflows and their parameters.",
	"input plan":           "list_workflows lists the workflows and their parameters.",
	"request start_run":    "list_workflows lists the workflows and their parameters.",
	"not_found run_status": `The run "latest" is the one that was started last.`,
	"not_found run_result": `The run "latest" is the one that was started last.`,
	"input approve":        "run_status lists the approvals that a run waits for.",
	"conflict approve":     "run_status lists the approvals that a run waits for.",
	"conflict resume_run":  "run_status says what the run does.",
}

const (
	// defaultWait is how long tools that run something wait for it: less than the
	// minute after which clients of the protocol give up a request.
	defaultWait = 45

	// cancelWait is how long a cancel waits for the process of the run.
	cancelWait = 5 * time.Second

	// maxOutput bounds what a tool gives of an output, in bytes of JSON: a client shows
	// results to its model, and has a resource for the rest.
	maxOutput = 48 << 10

	// maxFailures bounds the failures that a tool lists.
	maxFailures = 20
)

// Wait is how long a tool waits for a run.
type Wait struct {
	WaitSeconds *int `json:"wait_seconds,omitempty" minimum:"0" maximum:"600" doc:"how long to wait for the end of the run; it continues in any case. 45 if left out, 0 to get its id at once"`
}

func (w Wait) duration() time.Duration {
	if w.WaitSeconds == nil {
		return defaultWait * time.Second
	}
	return time.Duration(*w.WaitSeconds) * time.Second
}

// Request names a request, so that it can be sent again.
type Request struct {
	RequestID string `json:"request_id,omitempty" maxLength:"255" doc:"a value that no other request has: sent again with it, the request starts no second run and gets the first one"`
}

type executeInput struct {
	server.Execute
	Wait
	Request
}

type startInput struct {
	server.StartRun
	Wait
	Request
}

// RunID names a run.
type RunID struct {
	Run string `json:"run" minLength:"1" doc:"id of a run, or its first characters, or latest" example:"run_3fa9c2k7h2xq"`
}

type resultInput struct {
	RunID
	Step string `json:"step,omitempty" doc:"the output of this step instead of the run's; of one within a step as OUTER/INNER"`
	All  bool   `json:"all,omitempty" doc:"the outputs of all steps"`
	Wait
}

type resumeInput struct {
	RunID
	AcceptChanges bool `json:"accept_changes,omitempty" doc:"resume although the workflow, an agent or a file has changed"`
	Failed        bool `json:"failed,omitempty" doc:"run again all that failed, also what the run continued without"`
	Wait
}

type approveInput struct {
	RunID
	server.Answer
}

// Status is how a run stands.
type Status struct {
	journal.Run
	Approvals []server.Approval `json:"approvals,omitempty" doc:"what it waits for; approve answers"`
	Failures  []runs.Failure    `json:"failures,omitempty" doc:"what failed in it; the first of them if there are many"`
	Next      string            `json:"next,omitempty" doc:"what can be done"`
}

// Result is a run with its output.
type Result struct {
	Status
	Output    any    `json:"output,omitempty" doc:"a text, or the value of a structured output; of several steps an object by their ids"`
	Truncated bool   `json:"truncated,omitempty" doc:"the output is the beginning of its text; the resource has all of it"`
	Resource  string `json:"resource,omitempty" doc:"URI of the whole output"`
}

// Cancelled is what cancel_run gives.
type Cancelled struct {
	Signaled  bool `json:"signaled" doc:"a process drove the run and was asked to stop"`
	Cancelled bool `json:"cancelled" doc:"the run has ended"`
}

// Approved is what approve gives.
type Approved struct {
	Step     string `json:"step"`
	Approved bool   `json:"approved"`
}

// addRuns adds the tools that start runs, look at them and steer them.
func (t *tools) addRuns(s *mcp.Server) {
	add(t, s, "execute", "Give an agent a task", "Give an agent of the project a task and return its answer. If that takes longer than wait_seconds, the answer is a run_id for run_result. An answer that was given before may come from the cache, for nothing.",
		tool[executeInput, Result]{works, func(ctx context.Context, req *mcp.CallToolRequest, in executeInput) (*Result, error) {
			run, err := t.srv.Execute(ctx, in.Execute, in.RequestID)
			if err != nil {
				return nil, err
			}
			return t.wait(ctx, req, run.ID, in.duration(), "", false)
		}})
	add(t, s, "start_run", "Start a workflow", "Start a run of a workflow of the project. It runs by itself until it ends; if that takes longer than wait_seconds, the answer is a run_id for run_status and run_result.",
		tool[startInput, Result]{works, func(ctx context.Context, req *mcp.CallToolRequest, in startInput) (*Result, error) {
			run, err := t.srv.Start(ctx, in.StartRun, in.RequestID)
			if err != nil {
				return nil, err
			}
			return t.wait(ctx, req, run.ID, in.duration(), "", false)
		}})
	add(t, s, "run_status", "Show a run", "Say how a run stands: its status, cost, approvals that it waits for, and what failed.",
		tool[RunID, Status]{reads, func(ctx context.Context, _ *mcp.CallToolRequest, in RunID) (*Status, error) {
			d, err := t.srv.Load(ctx, in.Run)
			if err != nil {
				return nil, err
			}
			return t.status(ctx, d)
		}})
	add(t, s, "run_result", "Show a run's output", "Give the output of a run. If the run has not ended, wait for it for wait_seconds.",
		tool[resultInput, Result]{reads, func(ctx context.Context, req *mcp.CallToolRequest, in resultInput) (*Result, error) {
			run, err := t.srv.Find(ctx, in.Run) // "latest" may be another when the wait is over
			if err != nil {
				return nil, err
			}
			return t.wait(ctx, req, run.ID, in.duration(), in.Step, in.All)
		}})
	add(t, s, "resume_run", "Resume a run", "Resume a run that was stopped, failed or crashed. What has finished is not paid again.",
		tool[resumeInput, Result]{works, func(ctx context.Context, req *mcp.CallToolRequest, in resumeInput) (*Result, error) {
			run, err := t.srv.Resume(ctx, in.Run, server.ResumeRun{AcceptChanges: in.AcceptChanges, Failed: in.Failed})
			if err != nil {
				return nil, err
			}
			return t.wait(ctx, req, run.ID, in.duration(), "", false)
		}})
	add(t, s, "cancel_run", "Cancel a run", "Stop a run: it does not continue by itself. What has finished is kept, and resume_run continues it.",
		tool[RunID, Cancelled]{steers, func(ctx context.Context, _ *mcp.CallToolRequest, in RunID) (*Cancelled, error) {
			return t.cancel(ctx, in.Run)
		}})
	add(t, s, "approve", "Answer an approval", "Answer an approval that a run waits for, with the decision of the user. Never decide for them: ask first.",
		tool[approveInput, Approved]{steers, func(ctx context.Context, req *mcp.CallToolRequest, in approveInput) (*Approved, error) {
			in.By = cmp.Or(in.By, callerOf(ctx, req))
			step, err := t.srv.Answer(ctx, in.Run, in.Answer)
			return &Approved{step, in.Approved}, err
		}})
}

// cancel stops a run, and waits a moment for its process to say so.
func (t *tools) cancel(ctx context.Context, id string) (*Cancelled, error) {
	run, err := t.srv.Find(ctx, id)
	if err != nil {
		return nil, err
	}
	signaled, err := t.srv.Cancel(ctx, run.ID)
	if err != nil {
		return nil, err
	}
	out := &Cancelled{Signaled: signaled, Cancelled: !signaled}
	within, stop := context.WithTimeout(ctx, cancelWait)
	defer stop()
	for c, err := range t.srv.Watch(within, run.ID) {
		if err != nil {
			return nil, err
		}
		out.Cancelled = out.Cancelled || c.Event == nil && c.Run.Status == journal.StatusCancelled
	}
	return out, nil
}

// callerOf returns who calls a tool: the name of the key, if the request has one, and what
// the client calls itself.
func callerOf(ctx context.Context, req *mcp.CallToolRequest) string {
	caller := "MCP client"
	if p := req.Session.InitializeParams(); p != nil && p.ClientInfo != nil && p.ClientInfo.Name != "" {
		caller += " " + p.ClientInfo.Name
	}
	if id := keys.FromContext(ctx); id != nil {
		caller = id.Name + " by " + caller
	}
	return caller
}

// status returns how a run stands.
func (t *tools) status(ctx context.Context, d *runs.Detail) (*Status, error) {
	st := &Status{Run: runs.WithStatus(d.Run), Failures: d.Failures()}
	if len(st.Failures) > maxFailures {
		st.Failures = st.Failures[:maxFailures]
	}
	if !d.Run.Status.Ended() {
		open, err := t.srv.Approvals(ctx, d.Run.ID)
		if err != nil {
			return nil, err
		}
		st.Approvals = open
	}
	switch st.Status {
	case journal.StatusWaiting:
		st.Next = "show the user what is asked, and answer with approve"
	case journal.StatusRunning:
		st.Next = "call run_result with wait_seconds; the run continues by itself"
	case journal.StatusFailed, journal.StatusInterrupted, runs.StatusCrashed:
		st.Next = "resume_run continues where it stopped, and pays nothing again that has finished"
	default: // it has ended
	}
	return st, nil
}

// wait waits for the end of a run, or until it waits for an approval, for at most so long,
// and returns it with its output. The client is notified of steps that start and end, if it
// asked for that.
func (t *tools) wait(ctx context.Context, req *mcp.CallToolRequest, id string, most time.Duration, step string, all bool) (*Result, error) {
	if most > 0 {
		within, cancel := context.WithTimeout(ctx, most)
		defer cancel()
		p := &progress{session: req.Session, token: req.Params.GetProgressToken()}
		for c, err := range t.srv.Watch(within, id) {
			if err != nil {
				return nil, err
			}
			if c.Event != nil {
				p.add(within, c.Event)
			} else if c.Run.Status == journal.StatusWaiting {
				break
			}
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	d, err := t.srv.Load(ctx, id)
	if err != nil {
		return nil, err
	}
	st, err := t.status(ctx, d)
	if err != nil {
		return nil, err
	}
	res := &Result{Status: *st}
	value, err := outputOf(d, step, all)
	if err != nil {
		return nil, err
	}
	if value == nil {
		return res, nil
	}
	res.Resource = outputURI(d.Run.ID, step)
	return res, res.set(value)
}

// set sets the output, or its beginning.
func (r *Result) set(value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("writing an output: %w", err)
	}
	if len(data) <= maxOutput {
		r.Output = json.RawMessage(data)
		return nil
	}
	text, ok := value.(string)
	if !ok {
		text = string(data)
	}
	r.Output, r.Truncated = cut(text, maxOutput), true
	return nil
}

// cut returns the beginning of a text, at most so many bytes, in whole characters.
func cut(text string, most int) string {
	for most > 0 && most < len(text) && text[most]&0xc0 == 0x80 {
		most--
	}
	return text[:min(most, len(text))]
}

// outputOf returns the output of a run, or of a step of it; nil if there is none yet.
func outputOf(d *runs.Detail, step string, all bool) (any, error) {
	if step != "" {
		s, res, err := d.Step(step)
		if err != nil {
			return nil, err
		}
		return some(runs.StepValue(s, res)), nil
	}
	refs, err := d.Spec.TaskRefs()
	if err != nil {
		return nil, err
	}
	if refs != nil {
		if list := claudeforce.TasksOf(d.Result, refs); len(list) == 1 {
			return some(list[0].Output), nil
		} else if len(list) == 0 {
			return nil, nil
		}
	}
	return some(runs.OutputValue(d.Workflow, d.Result, all)), nil
}

// some returns a value, or nil for one that says nothing.
func some(v any) any {
	switch v := v.(type) {
	case string:
		if v == "" {
			return nil
		}
	case map[string]any:
		if len(v) == 0 {
			return nil
		}
	}
	return v
}
