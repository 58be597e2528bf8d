// Package worktree gives the steps of a run git worktrees of their own, and brings
// what a step changed there into the checkout.
//
// It runs the installed git on repositories that may have been made to harm: see
// [Repository] for what it does not let them do.
package worktree
