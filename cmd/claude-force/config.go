package main

import (
	"github.com/spf13/cobra"

	"github.com/claude-force/claude-force/config"
)

func (a *app) config() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show the settings",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var json bool
	show := &cobra.Command{
		Use:   "show",
		Short: "Show each setting and where it came from",
		Long: `Settings are taken, the later the stronger, from the defaults, the project's
claude-force.yaml, the user's claude-force.yaml in the configuration folder,
environment variables and flags.`,
		Example: `  claude-force config show
  claude-force config show --json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := a.settings()
			if err != nil {
				return err
			}
			if json {
				return printJSON(a.stdout, settingsJSON(cfg))
			}
			rows := [][]string{{"SETTING", "VALUE", "FROM", "VARIABLE"}}
			for _, name := range config.Names() {
				_, env := config.About(name)
				rows = append(rows, []string{name, cfg.Value(name), cfg.Origin(name), env})
			}
			return table(a.stdout, rows)
		},
	}
	show.Flags().BoolVar(&json, "json", false, "print a JSON array")
	cmd.AddCommand(show)
	return cmd
}

// settingJSON is an entry of `config show --json`.
type settingJSON struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Origin string `json:"origin"`
	Env    string `json:"env,omitempty"`
	About  string `json:"about"`
}

func settingsJSON(cfg *config.Config) []settingJSON {
	var list []settingJSON
	for _, name := range config.Names() {
		about, env := config.About(name)
		list = append(list, settingJSON{name, cfg.Value(name), cfg.Origin(name), env, about})
	}
	return list
}
