// Package builtin exists to carry the agents that come with the program.
//
// [FS] holds one Markdown file per agent, named after the agent, in the same
// format as a user's own files; see package agent for it. Give it to
// agent.DiscoverOptions as Builtin. Agents that act name the tools they need, and
// those that only think name none: `tools: []`.
package builtin

import "embed"

// FS holds NAME.md for every built-in agent NAME, and nothing else. It is
// read-only.
//
//go:embed *.md
var FS embed.FS
