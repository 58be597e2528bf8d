package claudeforce

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/hook"
)

// checkHooks lists the hooks of the project, its user and its plugins, which are not
// run. Without settings of this program, plugins are left out.
func checkHooks(cfg *config.Config, dir string) Check {
	dir = cmp.Or(dir, ".")
	home, _ := os.UserHomeDir() // without one there are no settings of the user's
	hooks, problems, err := hook.Find(dir, home)
	if err != nil {
		return Check{"hooks", CheckFailed, err.Error(), ""}
	}
	plugins, err := loadPlugins(cfg, dir)
	if err != nil {
		problems = append(problems, err.Error())
	}
	for _, p := range plugins {
		files, err := p.Files(p.Hooks, ".json")
		if err != nil {
			problems = append(problems, err.Error())
		}
		for _, f := range files {
			found, err := hook.Parse("plugin "+p.Name, f.Data)
			if err != nil {
				problems = append(problems, fmt.Sprintf("plugin %s: %s: %v", p.Name, f.Name, err))
			}
			hooks = append(hooks, found...)
		}
	}
	if len(hooks) == 0 && len(problems) == 0 {
		return Check{"hooks", CheckPassed, "none found", ""}
	}
	var list []string
	for _, h := range hooks {
		if text := h.Event + " in " + h.File; !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	detail := fmt.Sprintf("%d found, which are not run: %s", len(hooks), strings.Join(list, ", "))
	if len(hooks) == 0 {
		detail = "none found"
	}
	if len(problems) > 0 {
		detail += "; " + strings.Join(problems, "; ")
	}
	return Check{"hooks", CheckWarned, detail, "hooks of Claude Code have no effect here; use permission rules"}
}
