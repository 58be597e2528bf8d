//go:build unix

package stand

import (
	"context"
	"fmt"

	enums "go.temporal.io/api/enums/v1"
	history "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
)

// History is that of one workflow of a run.
type History struct {
	ID     string // of the workflow
	Events []*history.HistoryEvent
	Bytes  int64 // as the server counts them
}

// Histories returns the histories of the workflow with an id, the last first if it was
// continued in others, and behind each those of its children.
func Histories(ctx context.Context, c client.Client, id string) ([]History, error) {
	var all []History
	for run := ""; ; {
		h, err := oneHistory(ctx, c, id, run)
		if err != nil {
			return nil, fmt.Errorf("reading the history of workflow %s: %w", id, err)
		}
		all = append(all, h)
		for _, ev := range h.Events {
			if ev.EventType != enums.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED {
				continue
			}
			child := ev.GetChildWorkflowExecutionStartedEventAttributes().WorkflowExecution.WorkflowId
			inner, err := Histories(ctx, c, child)
			if err != nil {
				return nil, err
			}
			all = append(all, inner...)
		}
		if run = h.Events[0].GetWorkflowExecutionStartedEventAttributes().ContinuedExecutionRunId; run == "" {
			return all, nil
		}
	}
}

func oneHistory(ctx context.Context, c client.Client, id, run string) (History, error) {
	described, err := c.DescribeWorkflow(ctx, id, run)
	if err != nil {
		return History{}, err
	}
	h := History{ID: id, Bytes: described.RawResponse.WorkflowExecutionInfo.HistorySizeBytes}
	for events := c.GetWorkflowHistory(ctx, id, run, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); events.HasNext(); {
		ev, err := events.Next()
		if err != nil {
			return History{}, err
		}
		h.Events = append(h.Events, ev)
	}
	return h, nil
}
