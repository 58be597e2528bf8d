package callsql

// The tables that stores of calls have alike, in the form of a copy: their columns, of
// which the first are the key, each in the order in which they are to be copied.
const (
	CopiedNames    = "id int, project text, workflow text, agent text, asked text, model text, source text, key text, team text"
	CopiedProjects = "project text, name text, place text"
	CopiedRows     = "time int, id int, name int, run text, step text, item text, input int, output int, cache_read int, cache_write_5m int, cache_write_1h int, searches int, " +
		"unpriced int, cost int, saved_cache int, saved_coalesced int, saved_prompt int, saved_batch int, saved_model int, duration int, first_token int, alone int, attempts int, " +
		"code int, stop text, service int, waited int, batch int, refused int, uncertain int"
	CopiedAttempts = "call_time int, call int, number int, time int, duration int, first_token int, model text, code int, basis text, cost int, input int, output int, " +
		"cache_read int, cache_write_5m int, cache_write_1h int, searches int, write_extra int, id int, uncertain int"
	CopiedSent    = "id int, host text, boot text, pid int, born int, call blob"
	CopiedRollups = "seconds int, kind text, start int, project text, value text, source text, calls int, failed int, live int, cached int, coalesced int, unpriced int, " +
		"retries int, input int, output int, cache_read int, cache_write_5m int, cache_write_1h int, searches int, cost int, saved_cache int, saved_coalesced int, " +
		"saved_prompt int, saved_batch int, saved_model int, duration int, alone int, first_token int, first_tokens int, longest int, runs int, run_wall int, run_alone int, " +
		"outside_run int, served int, service int, waited int, refused int, uncertain int, latency blob, service_latency blob"
	CopiedRuns      = "id text, project text, workflow text, began int, ended int, calls int, cost int, alone int"
	CopiedPace      = "agent text, model text, calls int, duration int"
	CopiedImports   = "hash blob"
	CopiedToolNames = "id int, project text, workflow text, agent text, tool text"
	CopiedTools     = "time int, id int, name int, run text, step text, item text, outcome int, duration int"
	CopiedToolTasks = "time int, id int, name int, run text, step text, item text, turns int, tool_calls int, failed int, duration int"
	CopiedState     = "id int, rows_since int, hours_since int"
)
