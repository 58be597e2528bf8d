package analytics

import "github.com/claude-force/claude-force/llm"

// SavedLive returns what was saved on a live call of this usage that model answered.
// If model was chosen, insteadOf is the model that would have been asked without
// the choice, which is taken to need the same tokens.
//
// The ways of paying less are taken away one after the other: the choice, then
// prompt caching, then the batch lane. So what was paid and what was saved add up
// to the price of the tokens on insteadOf, all of them fresh and at once. A model
// without a price saves nothing, and against one without a price nothing is saved
// by choice.
func SavedLive(prices *llm.PriceTable, model, insteadOf string, u llm.Usage) Savings {
	paid, ok := prices.Cost(model, u)
	if !ok {
		return Savings{}
	}
	unchosen, ok := prices.Cost(insteadOf, u)
	if !ok {
		insteadOf, unchosen = model, paid
	}
	u.InputTokens = u.PromptTokens()
	u.CacheReadTokens, u.CacheWrite5m, u.CacheWrite1h = 0, 0, 0
	fresh, _ := prices.Cost(insteadOf, u)
	u.Batch = false
	atOnce, _ := prices.Cost(insteadOf, u)
	return Savings{
		Model:  llm.Dollars(unchosen).Sub(llm.Dollars(paid)),
		Prompt: llm.Dollars(fresh).Sub(llm.Dollars(unchosen)),
		Batch:  llm.Dollars(atOnce).Sub(llm.Dollars(fresh)),
	}
}

// WriteExtra returns by how much the tokens that were written to the prompt cache
// cost more than at the plain price; 0 if the model has no price.
func WriteExtra(prices *llm.PriceTable, model string, u llm.Usage) llm.Money {
	paid, ok := prices.Cost(model, u)
	if !ok {
		return 0
	}
	u.InputTokens += u.CacheWrite5m + u.CacheWrite1h
	u.CacheWrite5m, u.CacheWrite1h = 0, 0
	plain, _ := prices.Cost(model, u)
	return llm.Dollars(paid).Sub(llm.Dollars(plain))
}
