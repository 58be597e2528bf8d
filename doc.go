// Package claudeforce runs Claude agents fast, cheaply and without losing work.
//
// An agent is a named system prompt with a model, in a Markdown file. Agents are
// given tasks: one, many at once, or a workflow, which is a graph of steps whose
// independent branches run in parallel. A program of a few lines:
//
//	orch, err := claudeforce.New(ctx, claudeforce.Options{})
//	if err != nil {
//		return err
//	}
//	defer orch.Close()
//	res, err := orch.ExecuteAgent(ctx, "python-expert", "Explain decorators")
//
// # A tour
//
// This package wires the parts together and is the only one that does; the
// command in cmd/claude-force is flags and output on top of it.
//
// What things are, as data:
//
//   - llm is the seam to a model: requests, answers, events, errors, prices, and
//     the key that is a call's content address.
//   - agent reads agent files as Claude Code does; agent/builtin holds those that
//     come with the program.
//   - workflow reads workflow files, and finds everything wrong in them before
//     anything is spent.
//   - config finds settings and says where each came from.
//   - attach reads the files that tasks are given.
//
// What happens to a call, outermost first; each is a Model around a Model:
//
//   - llm/record writes down every call, the free ones too.
//   - llm/cache answers what was asked before; llm/cache/cachedb is its store in a file,
//     llm/cache/cachepg one in PostgreSQL, llm/cache/sealed the form of an answer in it, llm/cache/cachevalkey what
//     machines find of each other's answers, and llm/cache/cachetest the suite that
//     stores pass.
//   - llm/coalesce lets identical calls in flight share one, and
//     llm/coalesce/coalescevalkey those of several machines.
//   - llm/fallback asks another model when one is down or refuses.
//   - llm/budget reserves the worst case of a call, and settles what it cost;
//     llm/budget/budgetdb shares the sums between processes, llm/budget/budgetpg between
//     machines, and llm/budget/budgettest is the suite that ledgers pass.
//   - llm/batch sends calls that may wait by way of message batches.
//   - llm/retry tries again what failed in passing, before anything is shown.
//   - llm/promptcache places prompt-cache breakpoints, and lets one call warm what
//     others share.
//   - llm/hedge sends a late call twice.
//   - llm/admission lets calls go when the service's limits, which it learns, have
//     room for them; llm/admission/admissionvalkey shares the limits between machines,
//     and llm/admission/admissiontest is the suite that such stores pass.
//   - llm/batch stands in the place of the last two and the provider for calls
//     that may wait: it collects them into message batches at half the price.
//   - llm/anthropic asks Claude, over the official SDK; llm/anthropic/bedrock and
//     llm/anthropic/vertex reach it through those clouds, as llm/anthropic/cloud chooses.
//   - llm/llmtest is the suite that all of these pass.
//
// What agents act with:
//
//   - tool is what a model may call, and the tools for files; tool/bash runs commands,
//     tool/web reaches the web, tool/subagent starts other agents.
//   - tool/permission decides which calls may run.
//   - sandbox isolates the commands; worktree gives a step a Git worktree of its own.
//   - mcpclient brings the tools of MCP servers; memory, skill and plugin what
//     projects and users tell agents.
//   - toolset puts it together for one task.
//
// What runs and what stands in:
//
//   - task gives one agent one task, and calls the model until it is done.
//   - engine runs a workflow: what starts when, what follows from a failure.
//   - journal is the seam to what remembers runs; journal/journaldb keeps them in a
//     file, journal/journalpg in PostgreSQL, both in the form of journal/journalrow and
//     in the transactions of journal/groupcommit, journal/memory in memory, and
//     journal/journaltest is the suite that all pass.
//   - llm/cassette records the calls of a run into a folder, and answers from it.
//   - telemetry tells others what happens: traces, metrics, log lines.
//   - sim is a simulator of the Messages API, for the demo, tests and benchmarks.
//
// What is counted:
//
//   - analytics is what follows from calls: sums, savings, percentiles; its Store is
//     the seam to what keeps calls, with their sums over hours and days.
//     analytics/callsdb is one in a file, analytics/callspg one in PostgreSQL;
//     analytics/callsql is what such stores share,
//     analytics/spool holds what is recorded until they have it, and
//     analytics/analyticstest is the suite that they pass.
//
// What tells others:
//
//   - webhook sends what happened in runs to addresses that the operator has named;
//     webhook/webhookfeed finds it, webhook/webhookdb keeps what is still to be sent in a
//     file, webhook/webhookpg in PostgreSQL, and webhook/webhooktest is the suite that both
//     pass.
//
// And around them: internal/tablecopy copies what a store holds to one of another kind;
// internal/sqlitefile, internal/postgres, internal/valkey,
// internal/seal, internal/unixtime, internal/process, internal/tempfolder and
// internal/credential are what the parts share (files of SQLite, a database of PostgreSQL, a
// connection to Valkey, encryption, times in a column, which processes live, temporary folders
// that outlive no killed process for long, what looks like a key),
// internal/importtest keeps the packages' layers apart, internal/processtest lets tests
// be several processes, internal/postgres/postgrestest gives them a real PostgreSQL,
// claudeforcetest helps users to test their code, examples holds small programs, bench
// measures whole processes, deploy has what servers are run with.
package claudeforce
