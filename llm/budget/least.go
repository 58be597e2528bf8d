package budget

// LeastAnswer returns the lowest max_tokens to which a budget lowers a call that
// asks for maxTokens, if its agent has not answered yet. A budget without room for
// that sends no such call.
func LeastAnswer(maxTokens int) int { return min(unknownLength, maxTokens) }
