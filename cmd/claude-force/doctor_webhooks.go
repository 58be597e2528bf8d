package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	units "github.com/docker/go-units"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/pipeline"
	"github.com/claude-force/claude-force/webhook"
)

const (
	// webhooksTime bounds the check of webhooks.
	webhooksTime = 10 * time.Second

	// webhookLate is how long an event may wait for its first attempt while a server runs.
	webhookLate = time.Minute
)

// webhooksCheck reports webhooks that are disabled, fail or cannot be reached, and how long
// the oldest event has waited. Nothing is sent; offline nothing is connected to either.
func webhooksCheck(ctx context.Context, cfg *config.Config, offline bool) claudeforce.Check {
	ctx, cancel := context.WithTimeout(ctx, webhooksTime)
	defer cancel()
	c := claudeforce.Check{Name: "webhooks", Status: claudeforce.CheckPassed, Detail: "none"}
	if cfg.Store == "" {
		if _, err := os.Stat(pipeline.DataDir(cfg.DataDir).Webhooks()); errors.Is(err, fs.ErrNotExist) {
			return c
		}
	}
	store, err := openWebhooks(ctx, cfg)
	var views []webhook.View
	var waiting []time.Time
	if err == nil {
		views, waiting, err = lookAtWebhooks(ctx, store)
		err = closing(err, store)
	}
	if err != nil {
		c.Status, c.Detail, c.Hint = claudeforce.CheckWarned, err.Error(), "nothing is sent to webhooks until this is fixed"
		return c
	}
	if len(views) == 0 {
		return c
	}
	reached := make([]error, len(views))
	if !offline {
		reached = reachWebhooks(ctx, views)
	}
	now := time.Now()
	var problems, hints []string
	for i := range views {
		what, hint := webhookProblem(&views[i], reached[i], waiting[i], now)
		if what != "" {
			problems = append(problems, views[i].Name+" "+what)
			hints = append(hints, hint)
		}
	}
	c.Detail = plural(len(views), "webhook")
	if len(problems) > 0 {
		c.Status, c.Detail, c.Hint = claudeforce.CheckWarned, strings.Join(problems, "; "), hints[0]
	}
	return c
}

// lookAtWebhooks returns the webhooks of a store, and when the oldest event happened that
// waits to be sent to each; zero if none waits.
func lookAtWebhooks(ctx context.Context, store webhook.Store) (views []webhook.View, waiting []time.Time, err error) {
	views, err = webhook.Views(ctx, store, os.Getenv)
	waiting = make([]time.Time, len(views))
	for i := range views {
		if views[i].Pending == 0 || err != nil {
			continue
		}
		var list []webhook.Delivery
		list, err = store.Deliveries(ctx, &views[i].Hook, webhook.MaxPending+webhook.MaxSettled)
		for _, d := range list {
			if d.State == webhook.Pending && (waiting[i].IsZero() || d.Created.Before(waiting[i])) {
				waiting[i] = d.Created
			}
		}
	}
	return views, waiting, err
}

// reachWebhooks connects to all webhooks at once and returns why that failed.
func reachWebhooks(ctx context.Context, views []webhook.View) []error {
	sender := webhook.NewSender()
	defer sender.Close()
	errs := make([]error, len(views))
	var all sync.WaitGroup
	for i := range views {
		all.Go(func() { errs[i] = sender.Reach(ctx, &views[i].Hook) })
	}
	all.Wait()
	return errs
}

// webhookProblem returns what is wrong with a webhook, and what to do; empty texts if
// nothing is.
func webhookProblem(v *webhook.View, reached error, oldest, now time.Time) (what, hint string) {
	retry := "when the receiver is well again, send what was given up with `claude-force webhooks retry " + v.Name + "`"
	old := ""
	if !oldest.IsZero() {
		old = fmt.Sprintf("; the oldest of %s waits since %s", plural(v.Pending, "event"), strings.ToLower(units.HumanDuration(now.Sub(oldest))))
	}
	switch {
	case v.Disabled != "":
		return "is disabled: " + v.Disabled, "once there is a receiver again, enable it with `claude-force webhooks retry " + v.Name + "`"
	case reached != nil:
		return "cannot be reached: " + reached.Error() + old, "correct the address, or start the receiver; `claude-force webhooks test " + v.Name + "` sends a test"
	case v.Last != nil && v.Last.State != webhook.Delivered:
		return "fails: " + v.Last.Problem + old, retry
	case v.Pending > 0 && now.Sub(oldest) > webhookLate:
		return "is not sent to" + old, "events are sent while `claude-force serve` runs with " + v.SecretEnv + " in its environment"
	case v.Failed > 0:
		return fmt.Sprintf("did not take %s, which were given up", plural(v.Failed, "event")), retry
	}
	return "", ""
}
