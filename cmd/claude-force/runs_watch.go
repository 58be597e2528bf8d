package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"strings"

	"github.com/spf13/cobra"

	"github.com/claude-force/claude-force/client"
	"github.com/claude-force/claude-force/internal/amount"
	"github.com/claude-force/claude-force/internal/openfile"
	"github.com/claude-force/claude-force/journal"
	"github.com/claude-force/claude-force/runs"
)

func (a *app) runsWatch() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "watch RUN",
		Short: "Follow a run until it ends",
		Long: `Print what happened in a run, and then what happens, until it ends. Interrupting
this command does not touch the run.

Exit codes: those of "claude-force run".`,
		Example: `  claude-force runs watch latest
  claude-force runs watch run_3fa9 --json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeRun,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := a.soft(cmd.Context())
			defer cancel()
			return a.withHistory(ctx, func(store journal.Store) error { return a.watch(ctx, store, args[0], asJSON) })
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the events as JSON, one a line")
	return cmd
}

// watchRun follows a run. Events of a server's come as they happen there.
func watchRun(ctx context.Context, store journal.Store, id string) iter.Seq2[runs.Change, error] {
	if h, ok := store.(*client.History); ok {
		return h.Watch(ctx, id)
	}
	return runs.Watch(ctx, store, id)
}

func (a *app) watch(ctx context.Context, store journal.Store, id string, asJSON bool) error {
	lines := &eventLines{labels: map[journal.Unit]string{}}
	var last journal.Run
	var end journal.RunEnd // of the last event of an end
	waits := false
	for change, err := range watchRun(ctx, store, id) {
		switch {
		case err != nil:
			return err
		case change.Event != nil:
			if err := a.printEvent(lines, *change.Event, asJSON); err != nil {
				return err
			}
			if change.Event.Type == journal.RunFinished {
				end = journal.RunEnd{}
				if err := change.Event.Decode(&end); err != nil {
					return err
				}
			}
			continue
		}
		last = change.Run
		if !waits && last.Status == journal.StatusWaiting {
			a.say("%s waits for an answer; see `claude-force runs show %[1]s`", last.ID)
		}
		waits = last.Status == journal.StatusWaiting
	}
	if ctx.Err() != nil {
		return errInterrupted
	}
	if end.Exited != nil && last.Status == end.Status {
		return a.sayExited(end.Exited)
	}
	return a.watched(last)
}

// watched reports how a run ended that was watched.
func (a *app) watched(run journal.Run) error {
	a.say("%s is %s · %s · %s", run.ID, string(runs.StatusOf(run)), dollars(&run.CostUSD), plural(run.Tokens, "token"))
	switch run.Status {
	case journal.StatusCompleted:
		return nil
	case journal.StatusFailed, journal.StatusCancelled:
		return errReported
	}
	a.say("the process crashed or stopped; resume with: claude-force runs resume %s", run.ID)
	return errReported
}

func (a *app) runsLogs() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "logs RUN",
		Short: "Print what happened in a run, line by line",
		Example: `  claude-force runs logs latest
  claude-force runs logs latest --json | jq 'select(.type == "step_retrying")'`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeRun,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withHistory(cmd.Context(), func(store journal.Store) error {
				run, err := runs.Find(cmd.Context(), store, args[0])
				if err != nil {
					return err
				}
				lines := &eventLines{labels: map[journal.Unit]string{}}
				for ev, err := range store.Events(cmd.Context(), run.ID, 0) {
					if err != nil {
						return err
					}
					if err := a.printEvent(lines, ev, asJSON); err != nil {
						return err
					}
				}
				if asJSON || a.server != "" {
					return nil
				}
				return a.printRunLog(cmd.Context(), run.ID)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the events as JSON, one a line")
	return cmd
}

// maxLog bounds a log that is printed, in bytes.
const maxLog = 64 << 20

// printRunLog prints the log of the detached process of a run.
func (a *app) printRunLog(ctx context.Context, id string) error {
	cfg, err := a.settings()
	if err != nil {
		return err
	}
	data, err := openfile.Read(runLog(cfg, id), maxLog)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && len(bytes.TrimSpace(data)) == 0:
		return nil
	case err != nil:
		return fmt.Errorf("reading the log of run %s: %w", id, err)
	}
	if data, err = openLog(ctx, cfg, id, data); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "\nlog of its process:\n%s\n", bytes.TrimSpace(data))
	return err
}

func (a *app) printEvent(lines *eventLines, ev journal.Event, asJSON bool) error {
	if asJSON {
		if err := json.NewEncoder(a.stdout).Encode(ev); err != nil {
			return fmt.Errorf("writing events: %w", err)
		}
		return nil
	}
	text, err := lines.line(ev)
	if err != nil || text == "" {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "%s  %s\n", ev.Time.Local().Format("15:04:05.000"), text)
	return err
}

// eventLines writes events as lines for people.
type eventLines struct{ labels map[journal.Unit]string }

func (l *eventLines) line(ev journal.Event) (string, error) {
	unit := journal.Unit{Step: ev.Step, Item: ev.Item}
	name := ev.Step
	if label := l.labels[unit]; label != "" {
		name += "[" + label + "]"
	}
	switch ev.Type {
	case journal.RunStarted:
		return "run started", nil
	case journal.RunResumed:
		var r journal.Resumed
		err := ev.Decode(&r)
		return strings.Join(append([]string{"run resumed"}, r.Changes...), "; "), err
	case journal.RunFinished:
		var e journal.RunEnd
		err := ev.Decode(&e)
		text := fmt.Sprintf("run %s after %s", e.Status, amount.Seconds(e.TotalTimeSeconds))
		switch {
		case e.Exited != nil:
			text += fmt.Sprintf(": it exited at %s: %s", e.Exited.Step, e.Exited.Message)
		case e.Error != "":
			text += ": " + e.Error
		}
		return text, err
	case journal.CancelAsked:
		return "cancel requested", nil
	case journal.StepStarted:
		var s journal.Started
		if err := ev.Decode(&s); err != nil {
			return "", err
		}
		if s.Label != "" && ev.Item != "" {
			l.labels[unit] = s.Label
			name = ev.Step + "[" + s.Label + "]"
		}
		who := ""
		if s.Agent != "" {
			who = " (" + s.Agent
			if s.Model != "" {
				who += ", " + s.Model
			}
			who += ")"
		}
		return name + ": started" + who, nil
	case journal.StepAttempt:
		return fmt.Sprintf("%s: attempt %d", name, ev.Attempt), nil
	case journal.StepRetrying, journal.StepFailed:
		var f journal.Failed
		err := ev.Decode(&f)
		if ev.Type == journal.StepRetrying {
			return fmt.Sprintf("%s: attempt %d failed: %s; next in %s", name, ev.Attempt, f.Message, amount.Seconds(f.WaitSeconds)), err
		}
		if f.WaitedSeconds >= noticeable {
			name += ": after " + took(&f.Timing, f.DurationSeconds, false)
		}
		return fmt.Sprintf("%s: failed: %s", name, f.Message), err
	case journal.StepFinished:
		var f journal.Finished
		err := ev.Decode(&f)
		if s := f.Started; s != nil && s.Label != "" && ev.Item != "" {
			name = ev.Step + "[" + s.Label + "]"
		}
		text := fmt.Sprintf("%s: completed in %s", name, took(&f.Timing, f.DurationSeconds, false))
		if f.Source != "" {
			text += fmt.Sprintf(" · %s · %s · %s", f.Source, plural(f.Usage.TotalTokens(), "token"), dollars(f.CostUSD))
		}
		return text, err
	case journal.TurnAnswered, journal.ToolStarted, journal.ToolFinished:
		return toolEventLine(name, ev)
	case journal.Conversation:
		return name + ": kept its conversation", nil
	case journal.StepSkipped:
		var s journal.Skipped
		err := ev.Decode(&s)
		return name + ": skipped: " + s.Reason, err
	case journal.FileSaved:
		var f journal.Saved
		err := ev.Decode(&f)
		return fmt.Sprintf("%s: saved %s", cmp.Or(name, "run"), f.Path), err
	case journal.ChangesListed:
		var c journal.Changes
		err := ev.Decode(&c)
		return fmt.Sprintf("run: %s changed since %s", plural(len(c.Files), "file"), c.Base), err
	case journal.StepExpanded:
		var e journal.Expanded
		err := ev.Decode(&e)
		return name + ": " + plural(e.Items, "item"), err
	case journal.ApprovalAsked:
		var q journal.ApprovalRequest
		err := ev.Decode(&q)
		return name + ": waits for approval: " + q.Message, err
	case journal.ApprovalGiven:
		var d journal.Decision
		err := ev.Decode(&d)
		verb := "denied"
		if d.Approved {
			verb = "approved"
			if d.Value != nil {
				verb += ": " + firstLine(d.Text(), 200)
			}
		}
		if d.By != "" {
			verb += " by " + d.By
		}
		return name + ": " + verb, err
	}
	return "", nil // a type from a later version
}
