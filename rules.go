package claudeforce

import (
	"fmt"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/internal/openfile"
	"github.com/claude-force/claude-force/modelselect"
	"github.com/claude-force/claude-force/pipeline"
)

// maxRules bounds a file of rules, in bytes.
const maxRules = 4 << 20

// loadRules returns the rules by which models are chosen: the built-in ones, or those
// of the file that the configuration names.
func loadRules(cfg *config.Config) (*modelselect.Rules, error) {
	if cfg.AutoSelect.Rules == "" {
		return modelselect.Default(), nil
	}
	const hint = "correct the file, or the setting auto_select.rules"
	data, err := openfile.Read(cfg.AutoSelect.Rules, maxRules)
	if err != nil {
		return nil, &config.Error{File: cfg.AutoSelect.Rules, Message: fmt.Sprintf("the rules cannot be read: %v", err), Hint: hint}
	}
	prices, err := pipeline.LoadPrices(cfg)
	if err != nil {
		return nil, err
	}
	rules, err := modelselect.Parse(data, prices)
	if err != nil {
		return nil, &config.Error{File: cfg.AutoSelect.Rules, Message: err.Error(), Hint: hint}
	}
	return rules, nil
}
