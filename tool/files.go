package tool

// Files returns the tools that work on files, and the list of what is to be done.
func Files() []Tool {
	return []Tool{Read(), Write(), Edit(), Glob(), Grep(), NotebookEdit(), TodoWrite()}
}
