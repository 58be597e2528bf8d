package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/claude-force/claude-force/runs"
)

// addSteps adds the operations on the steps and the outputs of runs.
func (s *Server) addSteps(api huma.API) {
	add(s, api, &huma.Operation{
		OperationID: "list-steps", Method: http.MethodGet, Path: "/api/v1/runs/{run}/steps", Tags: []string{"runs"},
		Summary: "List the steps of a run and their items, in the order in which they began", Errors: []int{http.StatusNotFound, http.StatusUnprocessableEntity},
	}, s.listSteps)
	add(s, api, &huma.Operation{
		OperationID: "get-step", Method: http.MethodGet, Path: "/api/v1/runs/{run}/steps/{step}", Tags: []string{"runs"},
		Summary: "Show a step: its prompt, attempts, calls of tools, output, and why it was or was not reused", Errors: []int{http.StatusNotFound},
	}, s.getStep)
	text := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	add(s, api, &huma.Operation{
		OperationID: "get-output", Method: http.MethodGet, Path: "/api/v1/runs/{run}/output", Tags: []string{"runs"},
		Summary:     "Give the output of a run, or of a step",
		Description: "As text, as JSON, or as rows: CSV or JSON lines, one for each item. Without a format the header Accept says which.",
		Errors:      []int{http.StatusNotFound, http.StatusUnprocessableEntity},
		Responses: map[string]*huma.Response{"200": {
			Description: "The output.",
			Content: map[string]*huma.MediaType{
				"application/json": {Schema: &huma.Schema{}}, typeOf["text"]: text, typeOf["csv"]: text, typeOf["jsonl"]: text,
			},
		}},
	}, s.getOutput)
}

// StepList is a page of steps.
type StepList struct {
	Steps []runs.StepRow `json:"steps"`
	Next  string         `json:"next,omitempty" doc:"cursor of the next page; absent on the last one"`
}

type listStepsInput struct {
	RunID
	Step   string   `query:"step" doc:"only this step and what is within it"`
	Status []string `query:"status" enum:"pending,running,waiting,completed,failed,skipped,interrupted,cancelled" doc:"only those of these statuses"`
	Limit  int      `query:"limit" minimum:"1" maximum:"1000" default:"200"`
	Cursor string   `query:"cursor" doc:"next of the page before"`
}

func (s *Server) listSteps(ctx context.Context, in *listStepsInput) (*struct{ Body StepList }, error) {
	after := 0
	if in.Cursor != "" {
		var err error
		if after, err = strconv.Atoi(in.Cursor); err != nil || after < 0 {
			return nil, &Problem{Status: http.StatusUnprocessableEntity, Code: "request", Detail: "cursor is not the next of a page"}
		}
	}
	d, err := s.runs.Load(ctx, in.Run)
	if err != nil {
		return nil, err
	}
	rows := d.StepRows(in.Step)
	if len(rows) == 0 && in.Step != "" { // it has not started, unless there is none
		if _, _, err := d.Step(in.Step); err != nil {
			return nil, notFound(err)
		}
	}
	list := StepList{Steps: []runs.StepRow{}}
	for i, row := range rows {
		if i < after || len(in.Status) > 0 && !slices.Contains(in.Status, row.Status) {
			continue
		}
		if len(list.Steps) == in.Limit {
			list.Next = strconv.Itoa(i)
			break
		}
		list.Steps = append(list.Steps, row)
	}
	return &struct{ Body StepList }{list}, nil
}

type getStepInput struct {
	RunID
	Step string `path:"step" doc:"path of the step, with its slashes escaped" example:"review"`
	Item string `query:"item" doc:"of its foreach: the item, or the start of its key"`
}

func (s *Server) getStep(ctx context.Context, in *getStepInput) (*struct{ Body *runs.StepView }, error) {
	v, err := s.runs.LoadStep(ctx, in.Run, in.Step, in.Item)
	if err != nil {
		return nil, notFound(err)
	}
	return &struct{ Body *runs.StepView }{v}, nil
}

// notFound returns the error of something that is named and is not there.
func notFound(err error) error {
	if p := problemOf(err); p.Status == http.StatusUnprocessableEntity {
		return &Problem{Status: http.StatusNotFound, Code: "not_found", Detail: err.Error()}
	}
	return err
}

// typeOf has the media types of the formats of outputs.
var typeOf = map[string]string{
	"json": "application/json", "text": "text/plain; charset=utf-8", "csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl",
}

type getOutputInput struct {
	RunID
	Step   string `query:"step" doc:"only the output of this step, by its path"`
	Item   string `query:"item" doc:"with step: only that of this item of its foreach"`
	All    bool   `query:"all" doc:"the outputs of all steps, not only of those that no other uses"`
	Format string `query:"format" enum:"json,text,csv,jsonl" doc:"instead of the header Accept"`
	Accept string `header:"Accept"`
}

type getOutputOutput struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func (s *Server) getOutput(ctx context.Context, in *getOutputInput) (*getOutputOutput, error) {
	if in.Item != "" && in.Step == "" {
		return nil, &Problem{Status: http.StatusUnprocessableEntity, Code: "request", Detail: "item needs step, whose foreach it is of"}
	}
	format := in.Format
	if format == "" {
		format = formatOf(accepts(in.Accept))
	}
	d, err := s.runs.Load(ctx, in.Run)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := writeOutput(&b, d, in, format); err != nil {
		return nil, err
	}
	return &getOutputOutput{ContentType: typeOf[format], Body: b.Bytes()}, nil
}

func writeOutput(b *bytes.Buffer, d *runs.Detail, in *getOutputInput, format string) error {
	if format == "csv" || format == "jsonl" {
		if in.Item != "" || in.All {
			return &Problem{Status: http.StatusUnprocessableEntity, Code: "request", Detail: "rows are of a run or a step: leave out item and all"}
		}
		table, err := d.Table(in.Step)
		if err != nil {
			return err
		}
		if format == "csv" {
			return table.WriteCSV(b)
		}
		return table.WriteLines(b)
	}
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if in.Step == "" {
		if format == "text" {
			return runs.WriteOutputs(b, d.Workflow, d.Result, in.All)
		}
		return enc.Encode(runs.OutputValue(d.Workflow, d.Result, in.All))
	}
	step, res, err := d.Step(in.Step)
	if err != nil {
		return notFound(err)
	}
	if in.Item != "" {
		if res, err = runs.FindItem(in.Step, res, in.Item); err != nil {
			return notFound(err)
		}
	}
	switch {
	case format == "text":
		_, err = fmt.Fprintln(b, strings.TrimRight(res.Output, "\n"))
		return err
	case in.Item != "":
		return enc.Encode(runs.ParsedOutput(step, res.Output))
	default:
		return enc.Encode(runs.StepValue(step, res))
	}
}
