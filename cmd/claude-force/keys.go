package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/claude-force/claude-force/client"
	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/internal/amount"
	"github.com/claude-force/claude-force/keys"
	"github.com/claude-force/claude-force/pipeline"
)

// localKey returns the key of this data folder's server.
func localKey(cfg *config.Config) (string, error) {
	return keys.Local(pipeline.DataDir(cfg.DataDir).ServerKey())
}

func (a *app) keys() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Manage the keys of the server",
		Long: `Manage the keys with which clients use "claude-force serve". The owner of the data
folder has one, which "keys token" prints and which may do everything. For others, make
keys with a role, models, a rate and budgets of their own, and end them at any time: a
server that runs knows at once.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	manage := []*cobra.Command{a.keysCreate(), a.keysList(), a.keysRotate(), a.keysRevoke(), a.keysBudget(), a.keysAudit()}
	withServer(manage...)
	cmd.AddCommand(a.keysToken())
	cmd.AddCommand(manage...)
	return cmd
}

func (a *app) keysToken() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Print the key that requests to this data folder's server need",
		Long: `Print the key that requests to "claude-force serve" need. It is made when it is
first needed, in a file of the data folder that only you can read. Delete the file and
start the server again for another key.`,
		Example: `  claude-force keys token
  curl -H "Authorization: Bearer $(claude-force keys token)" http://127.0.0.1:8484/api/v1/runs`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := a.settings()
			if err != nil {
				return err
			}
			key, err := localKey(cfg)
			if err != nil {
				return storeError(err)
			}
			if asJSON {
				return printJSON(a.stdout, map[string]string{"key": key})
			}
			_, err = fmt.Fprintln(a.stdout, key)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

func (a *app) keysCreate() *cobra.Command {
	var asJSON bool
	var create client.CreateKey
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make a key and print it, once",
		Long: `Make a key and print it. Only its hash is stored: it cannot be shown again.

A key of the role read looks at runs and costs, one of the role run also starts runs and
calls models, and one of the role admin manages keys and the cache, and calls no model.
Its budget, that of its team and that of all keys hold together, for calls of clients of
the Messages API and for the runs that the key starts. Keys of one team share cached
answers.`,
		Example: `  claude-force keys create --name ci --budget 20/30d
  claude-force keys create --name ci --team web --role run --budget 5/day --rpm 60 --models haiku,sonnet --expires 90d`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains(keys.Roles, keys.Role(create.Role)) {
				return badInput("role %q is none of read, run and admin", create.Role)
			}
			if create.Expires != "" {
				if d, err := config.ParseDuration(create.Expires); err != nil || d <= 0 {
					return badInput("--expires %q is not a duration such as 12h or 90d", create.Expires)
				}
			}
			return a.withKeys(func(ring keyring) error {
				created, err := ring.CreateKey(cmd.Context(), create)
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(a.stdout, created)
				}
				a.say("the key %s; it is not shown again:", created.Name)
				_, err = fmt.Fprintln(a.stdout, created.Secret)
				return err
			})
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&asJSON, "json", false, "print a JSON object")
	flags.StringVar(&create.Name, "name", "", "name of the key, which no other key has had")
	flags.StringVar(&create.Team, "team", "", "team of the key")
	flags.StringVar(&create.Role, "role", string(keys.RoleRun), "what the key is for: read, run or admin")
	flags.StringSliceVar(&create.Models, "models", nil, "models that may be called; all if not given")
	flags.IntVar(&create.RPM, "rpm", 0, "most requests a minute; 0 for no limit")
	flags.StringVar(&create.Budget, "budget", "", "US dollars for a period, again and again, such as 20/30d or 5/day")
	flags.StringVar(&create.Expires, "expires", "", "how long the key is good, such as 90d; always if not given")
	completeFlag(cmd, "role", cobra.FixedCompletions([]string{"read", "run", "admin"}, cobra.ShellCompDirectiveNoFileComp))
	completeFlag(cmd, "models", completeModels)
	completeFlag(cmd, "team", a.completeTeams)
	return cmd
}

func (a *app) keysList() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the keys, with what they have spent of their budgets",
		Example: `  claude-force keys list
  claude-force keys list --json | jq -r '.[] | select(.status == "good") | .name'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withKeys(func(ring keyring) error {
				list, err := ring.Keys(cmd.Context())
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(a.stdout, list)
				}
				rows := [][]string{{"NAME", "TEAM", "ROLE", "KEY", "STATUS", "SPENT", "RPM", "MODELS", "USED", "EXPIRES"}}
				for i := range list {
					k := &list[i]
					rows = append(rows, []string{
						k.Name, cmp.Or(k.Team, "-"), string(k.Role), "…" + k.Last4, k.Status, spentOf(k.Budgets), cmp.Or(countOr(k.RPM), "-"), cmp.Or(strings.Join(k.Models, ","), "all"),
						agoOr(k.Used, "never"), dateOr(k.Expires, "never"),
					})
				}
				return table(a.stdout, rows)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

// spentOf returns what was spent of budgets.
func spentOf(budgets []keys.KeyBudget) string {
	var parts []string
	for i := range budgets {
		parts = append(parts, amount.Dollars(budgets[i].Spent)+" of "+budgets[i].Text)
	}
	return cmp.Or(strings.Join(parts, ", "), "-")
}

func countOr(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func agoOr(t time.Time, never string) string {
	if t.IsZero() {
		return never
	}
	return age(t) + " ago"
}

func dateOr(t time.Time, never string) string {
	if t.IsZero() {
		return never
	}
	return t.Local().Format(time.DateTime)
}

func (a *app) keysRotate() *cobra.Command {
	var asJSON bool
	var grace string
	cmd := &cobra.Command{
		Use:   "rotate NAME",
		Short: "Give a key another secret and print it, once",
		Long: `Give a key another secret and print it. The old one ends at once, or after --grace, so
that clients can be changed one after the other. What the key has spent, and its runs, stay.`,
		Example: `  claude-force keys rotate ci
  claude-force keys rotate ci --grace 24h`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeKeys,
		RunE: func(cmd *cobra.Command, args []string) error {
			if grace != "" {
				if d, err := config.ParseDuration(grace); err != nil || d < 0 {
					return badInput("--grace %q is not a duration such as 12h or 7d", grace)
				}
			}
			return a.withKeys(func(ring keyring) error {
				secret, err := ring.RotateKey(cmd.Context(), args[0], grace)
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(a.stdout, map[string]string{"key": secret, "name": args[0]})
				}
				a.say("the new key %s; it is not shown again:", args[0])
				_, err = fmt.Fprintln(a.stdout, secret)
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	cmd.Flags().StringVar(&grace, "grace", "", "how long the old secret stays good, such as 24h; not at all if not given")
	return cmd
}

func (a *app) keysRevoke() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "revoke NAME",
		Short: "End a key for good, at once",
		Long: `End a key for good, at once: also what it has open, such as a browser's session, a
stream of events and a call in flight. Runs that it has started make no more calls.`,
		Example:           `  claude-force keys revoke ci`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeKeys,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withKeys(func(ring keyring) error {
				if err := ring.RevokeKey(cmd.Context(), args[0]); err != nil {
					return err
				}
				if asJSON {
					return printJSON(a.stdout, map[string]string{"revoked": args[0]})
				}
				_, err := fmt.Fprintf(a.stdout, "%s is revoked\n", args[0])
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

func (a *app) keysBudget() *cobra.Command {
	var asJSON, all bool
	var key, team string
	cmd := &cobra.Command{
		Use:   "budget [BUDGET|none]",
		Short: "Show the budgets of keys, or set one",
		Long: `Show the budgets of keys, teams and all keys together, with what was spent in this
period. With --key, --team or --all and a budget, set that one; "none" removes it. A new
amount leaves what was spent; a new period begins now, with nothing spent.`,
		Example: `  claude-force keys budget
  claude-force keys budget --team web 50/30d
  claude-force keys budget --all 20/day
  claude-force keys budget --key ci none`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if all && (key != "" || team != "") || key != "" && team != "" {
				return badInput("give one of --key, --team and --all")
			}
			level, name := keys.AllLevel, ""
			if key != "" {
				level, name = keys.KeyLevel, key
			}
			if team != "" {
				level, name = keys.TeamLevel, team
			}
			if len(args) == 1 && key == "" && team == "" && !all {
				return badInput("whose budget is it? Give --key, --team or --all")
			}
			if len(args) == 1 && args[0] == "" {
				return badInput("give US dollars and a period, such as 20/30d, or none")
			}
			return a.withKeys(func(ring keyring) error {
				if len(args) == 1 {
					if err := ring.SetKeyBudget(cmd.Context(), string(level), name, args[0]); err != nil {
						return err
					}
				}
				list, err := ring.KeyBudgets(cmd.Context())
				if err != nil {
					return err
				}
				if key != "" || team != "" || all {
					list = slices.DeleteFunc(list, func(b keys.KeyBudget) bool { return b.Level != level || name != "" && b.Name != name })
				}
				if asJSON {
					return printJSON(a.stdout, list)
				}
				rows := [][]string{{"OF", "NAME", "BUDGET", "SPENT", "RESERVED", "PERIOD ENDS"}}
				for _, b := range list {
					rows = append(rows, []string{string(b.Level), b.Name, b.Text, amount.Dollars(b.Spent), amount.Dollars(b.Reserved), b.Ends.Local().Format(time.DateTime)})
				}
				return table(a.stdout, rows)
			})
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&asJSON, "json", false, "print a JSON array")
	flags.StringVar(&key, "key", "", "the budget of this key")
	flags.StringVar(&team, "team", "", "the budget of this team")
	flags.BoolVar(&all, "all", false, "the budget of all keys together")
	completeFlag(cmd, "key", a.completeKeys)
	completeFlag(cmd, "team", a.completeTeams)
	return cmd
}

func (a *app) keysAudit() *cobra.Command {
	var asJSON bool
	limit := 100
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "List what was done to keys and budgets, the newest first",
		Example: `  claude-force keys audit
  claude-force keys audit --limit 1000 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 {
				return badInput("--limit %d is not above 0", limit)
			}
			return a.withKeys(func(ring keyring) error {
				list, err := ring.KeyActs(cmd.Context(), limit)
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(a.stdout, list)
				}
				rows := [][]string{{"TIME", "BY", "ACTION", "NAME", "DETAIL"}}
				for _, act := range list {
					rows = append(rows, []string{act.Time.Local().Format(time.DateTime), act.By, act.Action, act.Name, act.Detail})
				}
				return table(a.stdout, rows)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	cmd.Flags().IntVar(&limit, "limit", limit, "most entries")
	return cmd
}

// completeKeys completes the names of keys that are not revoked.
func (a *app) completeKeys(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var names []string
	for _, k := range a.knownKeys(cmd.Context()) {
		if len(args) == 0 && k.Revoked.IsZero() {
			names = append(names, k.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeTeams completes the names of teams.
func (a *app) completeTeams(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	teams := map[string]bool{}
	for _, k := range a.knownKeys(cmd.Context()) {
		if k.Team != "" {
			teams[k.Team] = true
		}
	}
	return slices.Sorted(maps.Keys(teams)), cobra.ShellCompDirectiveNoFileComp
}

// knownKeys returns the keys in the store; none if it cannot be read.
func (a *app) knownKeys(ctx context.Context) (list []keys.KeyStatus) {
	_ = a.withKeys(func(ring keyring) (err error) {
		list, err = ring.Keys(ctx)
		return err
	})
	return list
}
