package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	claudeforce "github.com/claude-force/claude-force"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/internal/postgres"
	"github.com/claude-force/claude-force/internal/terminal"
	"github.com/claude-force/claude-force/pipeline"
	"github.com/claude-force/claude-force/webhook"
	"github.com/claude-force/claude-force/webhook/webhookdb"
	"github.com/claude-force/claude-force/webhook/webhookfeed"
	"github.com/claude-force/claude-force/webhook/webhookpg"
)

func (a *app) webhooks() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "webhooks",
		Short: "Send events of runs to other programs",
		Long: `Manage the webhooks of the data folder: to which addresses "claude-force serve" sends
that a run has finished (run.finished), that a run waits for an approval
(approval.wanted), and that a budget has no room left (budget.reached), of
the runs of all projects.

Requests are signed as Standard Webhooks (https://www.standardwebhooks.com). The secret
is in a variable of the environment of the server; make one with:
  echo "whsec_$(openssl rand -base64 32)"
Several, separated by spaces, all sign, for changing from one to the next.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.webhooksAdd(), a.webhooksList(), a.webhooksDeliveries(), a.webhooksTest(), a.webhooksRetry(), a.webhooksRemove())
	return cmd
}

// openWebhooks returns the store of webhooks, in the database that is configured or in the
// data folder.
func openWebhooks(ctx context.Context, cfg *config.Config) (webhook.Store, error) {
	key, err := pipeline.EncryptionKey(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if cfg.Store != "" {
		db, err := postgres.Connect(cfg.Store)
		if err != nil {
			return nil, inputError{err}
		}
		return webhookpg.New(db, key)
	}
	return webhookdb.New(pipeline.DataDir(cfg.DataDir).Webhooks(), key)
}

// withWebhooks calls do with the store of webhooks.
func (a *app) withWebhooks(ctx context.Context, do func(cfg *config.Config, store webhook.Store) error) error {
	cfg, err := a.settings()
	if err != nil {
		return err
	}
	store, err := openWebhooks(ctx, cfg)
	if err != nil {
		return err
	}
	return storeError(closing(do(cfg, store), store))
}

// marksNow returns the marks of a webhook that is to get what happens from now on.
func marksNow(ctx context.Context, cfg *config.Config) (m webhook.Marks, err error) {
	runs, err := claudeforce.OpenHistory(ctx, cfg)
	if err != nil {
		return m, err
	}
	exceeded, err := pipeline.OpenExcesses(cfg)
	if err != nil {
		return m, closing(err, runs)
	}
	feed, err := webhookfeed.New(runs, exceeded, "")
	if err != nil {
		return m, closing(err, runs)
	}
	m, err = feed.Now(ctx)
	return m, closing(closing(err, feed), runs)
}

func (a *app) webhooksAdd() *cobra.Command {
	var f struct {
		secretEnv string
		events    []string
		json      bool
	}
	cmd := &cobra.Command{
		Use:   "add NAME URL",
		Short: "Send events to an address",
		Long: `Send events to an address from now on, while "claude-force serve" runs; what happens
while it does not run is sent by its next process. The address is over https, or over
http on this machine.`,
		Example: `  claude-force webhooks add ops https://hooks.example.com/claude-force --secret-env OPS_WEBHOOK_SECRET
  claude-force webhooks add pager https://pager.example.com/in --event budget.reached --event approval.wanted --secret-env PAGER_SECRET`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.secretEnv == "" {
				return badInput("--secret-env is missing: the variable of the server's environment that has the secret, which is never written down")
			}
			return a.withWebhooks(cmd.Context(), func(cfg *config.Config, store webhook.Store) error {
				h := &webhook.Hook{Name: args[0], URL: args[1], SecretEnv: f.secretEnv}
				for _, event := range f.events {
					h.Events = append(h.Events, webhook.Type(event))
				}
				err := h.Complete(time.Now())
				if err != nil {
					return inputError{err}
				}
				if h.Marks, err = marksNow(cmd.Context(), cfg); err != nil {
					return err
				}
				if err := store.Add(cmd.Context(), h); err != nil {
					return webhookError(h.Name, err)
				}
				if f.json {
					return printJSON(a.stdout, h)
				}
				a.say("added; events are sent while `claude-force serve` runs with %s in its environment; try it with `claude-force webhooks test %s`", h.SecretEnv, h.Name)
				return nil
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.secretEnv, "secret-env", "", "variable of the environment of the server that has the secret")
	flags.StringArrayVar(&f.events, "event", nil, "event to send: run.finished, approval.wanted or budget.reached; may be repeated (default all)")
	flags.BoolVar(&f.json, "json", false, "print a JSON object")
	completeFlag(cmd, "event", cobra.FixedCompletions([]string{"run.finished", "approval.wanted", "budget.reached"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (a *app) webhooksList() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the webhooks",
		Long:  `List the webhooks, with what is still to be sent, what was given up and the last delivery of each.`,
		Example: `  claude-force webhooks list
  claude-force webhooks list --json | jq -r '.[] | select(.failed > 0 or .disabled) | .name'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withWebhooks(cmd.Context(), func(_ *config.Config, store webhook.Store) error {
				views, err := webhook.Views(cmd.Context(), store, os.Getenv)
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(a.stdout, views)
				}
				if len(views) == 0 {
					a.say("there are no webhooks")
					return nil
				}
				rows := [][]string{{"NAME", "URL", "EVENTS", "PENDING", "FAILED", "LAST DELIVERY"}}
				for i := range views {
					v := &views[i]
					var events []string
					for _, e := range v.Events {
						events = append(events, string(e))
					}
					rows = append(rows, []string{v.Name, v.URL, strings.Join(events, ","), fmt.Sprint(v.Pending), fmt.Sprint(v.Failed), lastDelivery(v)})
				}
				return table(a.stdout, rows)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

// lastDelivery returns what became of the last delivery to a webhook, and why there are no
// more.
func lastDelivery(v *webhook.View) string {
	text := "none yet"
	if d := v.Last; d != nil {
		text = d.Last.Local().Format(time.DateTime) + " " + outcome(d)
	}
	if v.Disabled != "" {
		text = "disabled: " + v.Disabled + "; " + text
	}
	return text
}

// outcome returns where a delivery stands, in a few words.
func outcome(d *webhook.Delivery) string {
	text := string(d.State)
	if d.State == webhook.Delivered {
		return fmt.Sprintf("%s (%d)", text, d.Status)
	}
	if d.Problem != "" {
		text += ": " + firstLine(d.Problem, 100)
	}
	return text
}

func (a *app) webhooksDeliveries() *cobra.Command {
	var f struct {
		limit int
		json  bool
	}
	cmd := &cobra.Command{
		Use:     "deliveries NAME",
		Short:   "List what was sent to a webhook, and what is to be",
		Long:    `List the latest events for a webhook, with where each stands.`,
		Example: "  claude-force webhooks deliveries ops",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.limit < 1 {
				return badInput("--limit must be at least 1")
			}
			return a.withWebhooks(cmd.Context(), func(_ *config.Config, store webhook.Store) error {
				h, err := webhook.Find(cmd.Context(), store, args[0])
				if err != nil {
					return webhookError(args[0], err)
				}
				list, err := store.Deliveries(cmd.Context(), h, f.limit)
				if err != nil {
					return err
				}
				if f.json {
					return printJSON(a.stdout, list)
				}
				if len(list) == 0 {
					a.say("nothing has happened yet that is for %s", h.Name)
					return nil
				}
				rows := [][]string{{"TIME", "EVENT", "ABOUT", "ATTEMPTS", "STATE", "NEXT"}}
				for i := range list {
					d := &list[i]
					next := ""
					if d.State == webhook.Pending {
						next = d.Next.Local().Format(time.DateTime)
					}
					rows = append(rows, []string{d.Created.Local().Format(time.DateTime), string(d.Type), d.Subject, fmt.Sprint(d.Attempts), outcome(d), next})
				}
				return table(a.stdout, rows)
			})
		},
	}
	cmd.Flags().IntVar(&f.limit, "limit", 20, "most deliveries")
	cmd.Flags().BoolVar(&f.json, "json", false, "print a JSON array")
	return cmd
}

func (a *app) webhooksTest() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "test NAME",
		Short: "Send a test to a webhook and print what was answered",
		Long: `Send an event of the type webhook.test to a webhook, once and from this process, and
print what was answered. The variable with its secret must be set here too.`,
		Example: "  claude-force webhooks test ops",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withWebhooks(cmd.Context(), func(_ *config.Config, store webhook.Store) error {
				h, err := webhook.Find(cmd.Context(), store, args[0])
				if err != nil {
					return webhookError(args[0], err)
				}
				secrets, err := webhook.Secrets(h.SecretEnv, os.Getenv)
				if err != nil {
					return inputError{err}
				}
				sender := webhook.NewSender()
				defer sender.Close()
				result := sender.Try(cmd.Context(), h, secrets, strings.ToLower(rand.Text()), time.Now())
				if asJSON {
					err = printJSON(a.stdout, result)
				} else if result.Status != 0 {
					a.say("answered %d in %d ms", result.Status, result.Millis)
					if text := firstLine(terminal.Clean(result.Body), 200); text != "" {
						_, err = fmt.Fprintln(a.stdout, text)
					}
				}
				if err == nil && !result.OK {
					err = fmt.Errorf("the test was not taken: %s", result.Problem)
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

func (a *app) webhooksRetry() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "retry NAME",
		Short: "Send again what was given up, and enable a webhook that is disabled",
		Long: `Send again what was given up, and now what waits for its next attempt. A webhook that
is disabled, since its receiver answered 410 Gone, is enabled again; what happened
meanwhile is not made up for.`,
		Example: "  claude-force webhooks retry ops",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withWebhooks(cmd.Context(), func(cfg *config.Config, store webhook.Store) error {
				marks, err := marksNow(cmd.Context(), cfg)
				if err != nil {
					return err
				}
				due, err := store.Retry(cmd.Context(), args[0], marks, time.Now())
				if err != nil {
					return webhookError(args[0], err)
				}
				if asJSON {
					return printJSON(a.stdout, map[string]any{"name": args[0], "action": "retried", "due": due})
				}
				a.say("%d to be sent while `claude-force serve` runs", due)
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

func (a *app) webhooksRemove() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "remove NAME",
		Short:   "Remove a webhook",
		Long:    `Remove a webhook. What is still to be sent to it is not sent.`,
		Example: "  claude-force webhooks remove ops",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withWebhooks(cmd.Context(), func(_ *config.Config, store webhook.Store) error {
				if err := store.Remove(cmd.Context(), args[0]); err != nil {
					return webhookError(args[0], err)
				}
				if asJSON {
					return printJSON(a.stdout, map[string]string{"name": args[0], "action": "removed"})
				}
				a.say("removed: %s", args[0])
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

// webhookError returns an error of the store of webhooks, as the user's own if it is.
func webhookError(name string, err error) error {
	switch {
	case errors.Is(err, webhook.ErrNotFound):
		return badInput("%w %q; `claude-force webhooks list` lists them", err, name)
	case errors.Is(err, webhook.ErrExists):
		return badInput("%w, %q; remove it first", err, name)
	case errors.Is(err, webhook.ErrTooMany):
		return badInput("%w: %d; remove one first", err, webhook.MaxHooks)
	}
	return err
}
