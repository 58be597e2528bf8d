package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/fault"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/keys"
	"github.com/claude-force/claude-force/llm"
	"github.com/claude-force/claude-force/plan"
	"github.com/claude-force/claude-force/runs"
	"github.com/claude-force/claude-force/workflow"
)

// addSteering adds the operations that start runs and change what they do.
func (s *Server) addSteering(api huma.API) {
	add(s, api, &huma.Operation{
		OperationID: "start-run", Method: http.MethodPost, Path: "/api/v1/runs", Tags: []string{"runs"}, DefaultStatus: http.StatusAccepted,
		Summary: "Start a run of a workflow of the project",
		Description: "The run is durable when the answer comes. A request that is repeated with the same Idempotency-Key starts no second run, " +
			"also after the server was restarted: it gets the run that the first one started.",
		Errors: []int{http.StatusPaymentRequired, http.StatusConflict, http.StatusUnprocessableEntity},
	}, s.startRun)
	add(s, api, &huma.Operation{
		OperationID: "plan-run", Method: http.MethodPost, Path: "/api/v1/plans", Tags: []string{"runs"},
		Summary: "Say what a run would cost and how long it would take, without a call", Errors: []int{http.StatusUnprocessableEntity},
	}, s.planRun)
	add(s, api, &huma.Operation{
		OperationID: "resume-run", Method: http.MethodPost, Path: "/api/v1/runs/{run}/resume", Tags: []string{"runs"}, DefaultStatus: http.StatusAccepted,
		Summary: "Resume a run that was interrupted or cancelled, has failed or crashed",
		Errors:  []int{http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity},
	}, s.resumeRun)
	add(s, api, &huma.Operation{
		OperationID: "cancel-run", Method: http.MethodPost, Path: "/api/v1/runs/{run}/cancel", Tags: []string{"runs"},
		Summary:     "Stop a run",
		Description: "It does not continue by itself, also not when the server starts again. What has finished is kept, and the run can be resumed.",
		Errors:      []int{http.StatusNotFound, http.StatusConflict},
	}, s.cancelRun)
	add(s, api, &huma.Operation{
		OperationID: "answer-approval", Method: http.MethodPost, Path: "/api/v1/runs/{run}/approve", Tags: []string{"runs"},
		Summary: "Answer an approval that a run waits for", Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity},
	}, s.answer)
}

// StartRun is what is run, and how.
type StartRun struct {
	Workflow    string            `json:"workflow" minLength:"1" doc:"path of a file of the project, or a name" example:"review.yaml"`
	Params      map[string]string `json:"params,omitempty" doc:"values of parameters, as text; lists and objects as JSON"`
	Model       string            `json:"model,omitempty" doc:"instead of every step's"`
	MaxParallel int               `json:"max_parallel,omitempty" minimum:"1" doc:"most steps at once, instead of the workflow's"`
	BudgetUSD   *float64          `json:"budget_usd,omitempty" minimum:"0" doc:"most US dollars, instead of the workflow's; 0 allows nothing that costs"`
	Refresh     bool              `json:"refresh,omitempty" doc:"make every call again and keep the new answers"`
	From        string            `json:"from,omitempty" doc:"run this step and what depends on it, with the other results of the latest run"`
	Only        string            `json:"only,omitempty" doc:"run only this step, with what it depends on from the latest run"`
	Tags        map[string]string `json:"tags,omitempty" doc:"kept with the run"`
	Engine      string            `json:"engine,omitempty" enum:",temporal" doc:"what works on the run: temporal for the workers of Temporal, which share the server's database; the server itself if it is left out or empty"`
}

// load returns the workflow that a request names, and the options of its run.
func (r *StartRun) load(o *claudeforce.Orchestrator, dir string) (*workflow.Workflow, claudeforce.RunOptions, error) {
	wf, err := loadWorkflow(o, dir, r.Workflow)
	if err != nil {
		return nil, claudeforce.RunOptions{}, fault.Input(err)
	}
	for name := range r.Tags {
		if strings.HasPrefix(name, reservedTags) {
			return nil, claudeforce.RunOptions{}, &Problem{Status: http.StatusUnprocessableEntity, Code: "request", Detail: fmt.Sprintf("the tag %.80q is the server's own: give it a name that does not begin with %s", name, reservedTags)}
		}
	}
	opts := claudeforce.RunOptions{
		Params: r.Params, Model: r.Model, MaxParallel: r.MaxParallel, File: wf.File(), From: r.From, Only: r.Only,
		Budget: workflow.Budget{USD: r.BudgetUSD}, Tags: maps.Clone(r.Tags), Engine: r.Engine,
	}
	if r.Refresh {
		opts.Policy = llm.PolicyRefresh
	}
	return wf, opts, nil
}

type startRunInput struct {
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"255" doc:"a value that no other request has, to send the same again safely"`
	Body           StartRun
}

type acceptedOutput struct {
	Location string `header:"Location"`
	Replayed string `header:"Idempotent-Replayed" doc:"true if an earlier request started the run"`
	Body     journal.Run
}

// reservedTags begins the names of the tags that the server gives to runs.
const reservedTags = "claude-force."

// requestTag is the tag that has the digest of the request that started a run.
const requestTag = "claude-force.request"

func (s *Server) startRun(ctx context.Context, in *startRunInput) (*acceptedOutput, error) {
	id, digest, err := identify(ctx, in.IdempotencyKey, in.Body)
	if err != nil {
		return nil, err
	}
	if in.IdempotencyKey != "" {
		if out, err := s.startedBefore(ctx, id, digest); out != nil || err != nil {
			return out, err
		}
	}
	err = s.runner.use(ctx, s.opts.Dir, s.opts.Settings, func(o *claudeforce.Orchestrator) error {
		wf, opts, err := in.Body.load(o, s.opts.Dir)
		if err != nil {
			return err
		}
		s.mark(ctx, &opts, id, digest)
		_, err = o.SubmitRun(ctx, wf, opts)
		return err
	})
	return s.started(ctx, id, digest, in.Body.Engine, err)
}

// mark sets the options of a run that a request with a digest starts.
func (s *Server) mark(ctx context.Context, opts *claudeforce.RunOptions, id, digest string) {
	if opts.Tags == nil {
		opts.Tags = map[string]string{}
	}
	opts.ID, opts.Settings = id, s.opts.Settings
	opts.AskCalls, opts.AskTimeout = s.opts.Settings.Approvals == runs.ApprovalsDurable, s.opts.Settings.AskFor
	opts.Tags[requestTag] = digest
	if caller := keys.FromContext(ctx); caller != nil && caller.ID != "" {
		opts.Key, opts.Team = caller.Name, caller.Team
	}
	if s.opts.Drive == nil && opts.Engine == "" {
		opts.Tags[serverTag] = s.opts.Version
	}
}

// started drives a run that was submitted with an error or nil, unless it is for an engine.
// If a request at the same time was first, it returns that one's run.
func (s *Server) started(ctx context.Context, id, digest, engine string, err error) (*acceptedOutput, error) {
	if errors.Is(err, journal.ErrExists) {
		if out, err := s.startedBefore(ctx, id, digest); out != nil || err != nil {
			return out, err
		}
	}
	if err != nil {
		return nil, err
	}
	if engine == "" {
		return s.drive(ctx, id, claudeforce.ResumeOptions{})
	}
	run, err := s.store.Find(ctx, id)
	if err != nil {
		return nil, err
	}
	return &acceptedOutput{Location: location(id), Body: runs.WithStatus(run)}, nil
}

// identify returns the id of the run that a request starts, and the request's digest.
// The id follows from the Idempotency-Key, if there is one, and who sends it.
func identify(ctx context.Context, key string, body any) (id, digest string, err error) {
	data, err := json.Marshal(body)
	if err != nil {
		return "", "", err
	}
	sum := sha256.Sum256(data)
	id = runs.NewID()
	if key != "" {
		if caller := keys.FromContext(ctx); caller != nil && caller.ID != "" {
			key = caller.ID + "\n" + key // others may have chosen the same
		}
		id = runs.IDFor(key)
	}
	return id, hex.EncodeToString(sum[:]), nil
}

// startedBefore returns the run of a request that was sent before; nil if there is
// none. The error is a [Problem] if that was another request.
func (s *Server) startedBefore(ctx context.Context, id, digest string) (*acceptedOutput, error) {
	run, err := s.store.Find(ctx, id)
	if errors.Is(err, journal.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	spec, err := runs.ReadSpec(run)
	if err != nil {
		return nil, err
	}
	if spec.Tags[requestTag] != digest {
		return nil, &Problem{Status: http.StatusUnprocessableEntity, Code: "idempotency_key", Detail: "the Idempotency-Key was used for another request"}
	}
	if s.runner.drives(id) && !run.Owned() { // by the request that was first, a moment ago
		run.Status, run.FinishedAt = journal.StatusRunning, time.Time{}
		return &acceptedOutput{Location: location(id), Replayed: "true", Body: run}, nil
	}
	return &acceptedOutput{Location: location(id), Replayed: "true", Body: runs.WithStatus(run)}, nil
}

// drive has a run driven, by another process if there is to be one.
func (s *Server) drive(ctx context.Context, id string, opts claudeforce.ResumeOptions) (*acceptedOutput, error) {
	run, err := s.store.Find(ctx, id)
	if err != nil {
		return nil, err
	}
	spec, err := runs.ReadSpec(run)
	if err != nil {
		return nil, err
	}
	if s.opts.Drive != nil {
		if err := s.opts.Drive(ctx, id, opts); err != nil {
			return nil, fmt.Errorf("starting a process for run %s: %w", id, err)
		}
	} else {
		started, ok := s.runner.start(id, spec, opts)
		if !ok {
			return nil, &Problem{Status: http.StatusServiceUnavailable, Code: "stopping", Detail: "the server is stopping; it resumes the run when it starts again"}
		}
		// Until the run has an owner, whoever looks at it finds it interrupted.
		select {
		case err := <-started:
			if err != nil {
				return nil, fmt.Errorf("starting to drive run %s: %w", id, err)
			}
		case <-ctx.Done():
		}
	}
	run.Status, run.FinishedAt = journal.StatusRunning, time.Time{} // it was stored as one to be resumed
	return &acceptedOutput{Location: location(id), Body: run}, nil
}

func location(id string) string { return "/api/v1/runs/" + id }

type planOutput struct{ Body *plan.Plan }

func (s *Server) planRun(ctx context.Context, in *struct{ Body StartRun }) (out *planOutput, err error) {
	err = s.runner.use(ctx, s.opts.Dir, s.opts.Settings, func(o *claudeforce.Orchestrator) error {
		wf, opts, err := in.Body.load(o, s.opts.Dir)
		if err != nil {
			return err
		}
		p, err := o.Plan(ctx, wf, opts)
		out = &planOutput{Body: p}
		return err
	})
	return out, err
}

// ResumeRun is how a run is resumed.
type ResumeRun struct {
	AcceptChanges bool     `json:"accept_changes,omitempty" doc:"resume although the workflow, an agent or a file has changed"`
	Failed        bool     `json:"failed,omitempty" doc:"run again all that failed, also what the run went on without"`
	Again         []string `json:"again,omitempty" doc:"steps with effects once that may start again"`
	MaxParallel   int      `json:"max_parallel,omitempty" minimum:"1"`
	BudgetUSD     *float64 `json:"budget_usd,omitempty" minimum:"0" doc:"instead of the run's"`
}

// checkResume returns why a run cannot be resumed: who drives it would say so in its log
// alone.
func (s *Server) checkResume(ctx context.Context, id string, opts claudeforce.ResumeOptions) error {
	run, err := s.store.Find(ctx, id)
	if err != nil {
		return err
	}
	spec, err := runs.ReadSpec(run)
	if err != nil {
		return err
	}
	return s.runner.use(ctx, spec.Dir, spec.Settings, func(o *claudeforce.Orchestrator) error {
		return o.CheckResume(ctx, id, opts)
	})
}

type resumeRunInput struct {
	RunID
	Body *ResumeRun
}

func (s *Server) resumeRun(ctx context.Context, in *resumeRunInput) (*acceptedOutput, error) {
	how := ResumeRun{}
	if in.Body != nil {
		how = *in.Body
	}
	run, err := runs.Find(ctx, s.store, in.Run)
	if err != nil {
		return nil, err
	}
	if err := s.mayChange(ctx, &run); err != nil {
		return nil, err
	}
	opts := claudeforce.ResumeOptions{
		AcceptChanges: how.AcceptChanges, Failed: how.Failed, RerunOnce: how.Again, MaxParallel: how.MaxParallel, Budget: workflow.Budget{USD: how.BudgetUSD},
	}
	if err := s.checkResume(ctx, run.ID, opts); err != nil {
		return nil, err
	}
	return s.drive(ctx, run.ID, opts)
}

type cancelOutput struct {
	Body struct {
		Signaled  bool `json:"signaled" doc:"a process drives the run and stops within a second"`
		Cancelled bool `json:"cancelled" doc:"the run has ended"`
	}
}

func (s *Server) cancelRun(ctx context.Context, in *RunID) (*cancelOutput, error) {
	signaled, err := s.Cancel(ctx, in.Run)
	if err != nil {
		return nil, err
	}
	out := &cancelOutput{}
	out.Body.Signaled, out.Body.Cancelled = signaled, !signaled
	return out, nil
}

// Answer is the answer to an approval.
type Answer struct {
	Step     string          `json:"step,omitempty" doc:"as in the list of approvals; needed if the run waits for several, or for a call of a tool"`
	Approved bool            `json:"approved"`
	Value    json.RawMessage `json:"value,omitempty" doc:"the choice, text or form that the approval asks for"`
	Comment  string          `json:"comment,omitempty" maxLength:"10000" doc:"of a no: the reason, which later steps can read"`
	By       string          `json:"by,omitempty" maxLength:"200" doc:"who answers"`
	Question string          `json:"question,omitempty" doc:"digest of the question that the answer is for; another question is then not answered"`
}

type answerOutput struct {
	Body struct {
		Step     string    `json:"step"`
		Approved bool      `json:"approved"`
		At       time.Time `json:"at"`
	}
}

func (s *Server) answer(ctx context.Context, in *struct {
	RunID
	Body Answer
}) (*answerOutput, error) {
	b := in.Body
	step, err := s.decide(ctx, in.Run, b.Step, journal.Decision{Approved: b.Approved, Value: b.Value, Comment: b.Comment, By: b.By, Question: b.Question})
	if err != nil {
		return nil, err
	}
	out := &answerOutput{}
	out.Body.Step, out.Body.Approved, out.Body.At = step, b.Approved, time.Now()
	return out, nil
}
