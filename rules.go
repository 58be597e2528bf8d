package claudeforce

import (
	"fmt"
	"os"

	"github.com/claude-force/claude-force/config"
	"github.com/claude-force/claude-force/modelselect"
	"github.com/claude-force/claude-force/pipeline"
)

// loadRules returns the rules by which models are chosen: the built-in ones, or those
// of the file that the configuration names.
func loadRules(cfg *config.Config) (*modelselect.Rules, error) {
	if cfg.AutoSelect.Rules == "" {
		return modelselect.Default(), nil
	}
	const hint = "correct the file, or the setting auto_select.rules"
	data, err := os.ReadFile(cfg.AutoSelect.Rules)
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
