//go:build linux

package main

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"time"
)

// answerCost is what an answer of the service costs, by the public price list of Haiku:
// 0.10 and 0.50 dollars for a million tokens.
const answerCost = 1000*0.10e-6 + 100*0.50e-6

// request is a request as the service keeps it.
type request struct {
	Job     string `json:"job"`
	Started int64  `json:"started"`
	Sent    bool   `json:"sent"`
}

// run is a run as the server lists it.
type run struct {
	ID     string  `json:"run_id"`
	Status string  `json:"status"`
	Cost   float64 `json:"cost_usd"`
}

// compare compares what clients were notified, the journal and what the service was asked.
// The schedule was added between before and started.
func (l *loop) compare(ctx context.Context, before, started time.Time, tick bool) error {
	all, ticks, err := l.await(ctx, started, tick)
	if err != nil {
		return err
	}
	var asked []request
	if err := l.service.Get(ctx, "/log", &asked); err != nil {
		return err
	}
	l.rep.Requests, l.rep.Ticks = len(asked), len(all)-len(l.runs)
	early := minute(started) - minute(before) // ticks that are the schedule's if it was added before them
	if n := l.rep.Ticks; n > ticks+early {
		l.say(&l.rep.Twice, "%d ticks have %d runs", ticks, n)
	} else if n < ticks {
		l.rep.NoTick += ticks - n - 1
		l.say(&l.rep.NoTick, "%d ticks have %d runs", ticks, n)
	}
	jobs := map[string][]request{}
	for _, r := range asked {
		jobs[r.Job] = append(jobs[r.Job], r)
	}
	for _, requests := range jobs {
		l.rep.Cut += len(requests) - 1
	}
	l.compareCalls(jobs)
	listed := map[string]bool{}
	for _, r := range all {
		listed[r.ID] = true
		if r.Status != "completed" {
			l.say(&l.rep.Lost, "run %s is %s: %s", r.ID, r.Status, l.failure(ctx, r.ID))
		}
		sent := 0
		for i := range items {
			job := fmt.Sprintf("job-%s-%d", r.ID, i)
			if len(jobs[job]) == 0 {
				l.say(&l.rep.Wrong, "the service was never asked for %s", job)
			}
			for _, req := range jobs[job] {
				if req.Sent {
					sent++
				}
			}
		}
		// An answer that was cut off costs something: at most an answer. One whose process was
		// killed before it was recorded is uncertain in analytics, and in no run's cost.
		answers := r.Cost / answerCost
		if answers < items-0.001 {
			l.rep.Uncertain += int(math.Round(items - answers))
		}
		if answers > math.Max(items, float64(len(asked)))+0.001 || answers > float64(sent+l.rep.Cut)+0.001 {
			l.say(&l.rep.Unbilled, "run %s cost %g, %g answers; the service sent %d", r.ID, r.Cost, answers, sent)
		}
	}
	for id, f := range l.runs {
		if !listed[id] {
			l.say(&l.rep.Lost, "run %s is not listed", id)
			continue
		}
		if err := l.compareRun(ctx, f, jobs); err != nil {
			return err
		}
	}
	return nil
}

// failure returns what the first step of a run that failed says; empty if none did.
func (l *loop) failure(ctx context.Context, id string) string {
	var list struct {
		Events []struct {
			Type   string `json:"type"`
			Detail struct {
				Message string `json:"message"`
			} `json:"detail"`
		} `json:"events"`
	}
	if _, err := l.ask(ctx, http.StatusOK, &list, http.MethodGet, "/api/v1/runs/"+id+"/events?limit=1000", nil); err != nil {
		return err.Error()
	}
	for _, ev := range list.Events {
		if ev.Type == "step_failed" {
			return ev.Detail.Message
		}
	}
	return ""
}

// compareCalls compares the calls of the proxy that were answered with what the service was
// asked.
func (l *loop) compareCalls(jobs map[string][]request) {
	for job, at := range l.answered {
		for _, r := range jobs[job] {
			if r.Started > at.UnixNano() {
				l.say(&l.rep.Repaid, "%s was answered and was called again", job)
			}
		}
	}
}

// compareRun compares what a client was notified of a run with its journal, and with what
// the service was asked.
func (l *loop) compareRun(ctx context.Context, f *followed, jobs map[string][]request) error {
	var list struct {
		Events []struct {
			Seq int64 `json:"seq"`
		} `json:"events"`
		Next int64 `json:"next"`
	}
	if _, err := l.ask(ctx, http.StatusOK, &list, http.MethodGet, "/api/v1/runs/"+f.id+"/events?limit=1000", nil); err != nil {
		return err
	}
	if list.Next != 0 {
		return fmt.Errorf("run %s has too many events", f.id)
	}
	var want []int64
	for _, ev := range list.Events {
		want = append(want, ev.Seq)
	}
	l.rep.Events += len(f.seqs)
	known := map[int64]bool{}
	for _, seq := range f.seqs {
		if known[seq] {
			l.say(&l.rep.Doubled, "run %s: event %d came twice", f.id, seq)
		}
		known[seq] = true
	}
	for _, seq := range want {
		if !known[seq] {
			l.say(&l.rep.Missing, "run %s: event %d never came", f.id, seq)
		}
	}
	if !slices.IsSorted(f.seqs) || len(known) > len(want) || len(f.finished) != items {
		l.say(&l.rep.Wrong, "run %s: events %v, of %v; %d items finished", f.id, f.seqs, want, len(f.finished))
	}
	for item, at := range f.finished {
		for _, r := range jobs[fmt.Sprintf("job-%s-%s", f.id, item)] {
			if r.Started > at.UnixNano() {
				l.say(&l.rep.Again, "run %s: item %s had finished and was called again", f.id, item)
			}
		}
	}
	return nil
}

// await waits until all runs have ended and returns them, with the number of ticks that
// should have runs: one for each minute that has started.
func (l *loop) await(ctx context.Context, started time.Time, tick bool) (all []run, ticks int, err error) {
	for until := time.Now().Add(settling); ; time.Sleep(100 * time.Millisecond) {
		now := time.Now()
		ticks = minute(now) - minute(started)
		if all, err = l.list(ctx); err != nil {
			return nil, 0, err
		}
		if minute(time.Now()) != minute(now) {
			continue // the list may have another tick
		}
		ended := !slices.ContainsFunc(all, func(r run) bool { return r.Status != "completed" })
		early := now.Unix()%60 < 15 // the tick of this minute may be under way
		if ended && !early && (ticks > 0 || !tick) && len(all) >= len(l.runs)+ticks || now.After(until) {
			return all, ticks, nil
		}
	}
}

// minute returns the minute of a time, by which schedules start runs.
func minute(t time.Time) int { return int(t.Unix() / 60) }

// list lists all runs.
func (l *loop) list(ctx context.Context) (all []run, err error) {
	for cursor := ""; ; {
		var page struct {
			Runs []run  `json:"runs"`
			Next string `json:"next"`
		}
		if _, err := l.ask(ctx, http.StatusOK, &page, http.MethodGet, "/api/v1/runs?limit=200&cursor="+cursor, nil); err != nil {
			return nil, err
		}
		all = append(all, page.Runs...)
		if cursor = page.Next; cursor == "" {
			return all, nil
		}
	}
}
