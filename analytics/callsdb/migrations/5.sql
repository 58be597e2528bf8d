-- Calls of tools, and tasks of agents with tools. Times are as in call_rows.
CREATE TABLE call_tools (
	id       INTEGER PRIMARY KEY,
	time     INTEGER NOT NULL,
	name     INTEGER NOT NULL, -- of call_tool_names
	run      TEXT NOT NULL,
	step     TEXT NOT NULL,
	item     TEXT NOT NULL,
	outcome  INTEGER NOT NULL,
	duration INTEGER NOT NULL
) STRICT;
CREATE INDEX call_tools_time ON call_tools (time);

-- One for each task that has ended.
CREATE TABLE call_tool_tasks (
	id         INTEGER PRIMARY KEY,
	time       INTEGER NOT NULL,
	name       INTEGER NOT NULL, -- of call_tool_names, with a model instead of a tool
	run        TEXT NOT NULL,
	step       TEXT NOT NULL,
	item       TEXT NOT NULL,
	turns      INTEGER NOT NULL,
	tool_calls INTEGER NOT NULL,
	failed     INTEGER NOT NULL,
	duration   INTEGER NOT NULL
) STRICT;
CREATE INDEX call_tool_tasks_time ON call_tool_tasks (time);

-- Who called which tool, each combination once.
CREATE TABLE call_tool_names (
	id       INTEGER PRIMARY KEY,
	project  TEXT NOT NULL,
	workflow TEXT NOT NULL,
	agent    TEXT NOT NULL,
	tool     TEXT NOT NULL, -- of a task: its model
	UNIQUE (project, workflow, agent, tool)
) STRICT;

CREATE VIEW tool_calls AS
SELECT r.id, strftime('%Y-%m-%dT%H:%M:%fZ', r.time / 1e9, 'unixepoch') AS time, coalesce(p.name, n.project) AS project, n.workflow, r.run, r.step, r.item,
	n.agent, n.tool, CASE r.outcome WHEN 0 THEN 'ok' WHEN 2 THEN 'denied' WHEN 3 THEN 'unknown' ELSE 'failed' END AS outcome,
	r.duration / 1e9 AS seconds, p.place AS project_path
FROM call_tools r JOIN call_tool_names n ON n.id = r.name LEFT JOIN call_projects p ON p.project = n.project;

CREATE VIEW tool_tasks AS
SELECT r.id, strftime('%Y-%m-%dT%H:%M:%fZ', r.time / 1e9, 'unixepoch') AS time, coalesce(p.name, n.project) AS project, n.workflow, r.run, r.step, r.item,
	n.agent, n.tool AS model, r.turns, r.tool_calls, CASE r.failed WHEN 0 THEN 'ok' ELSE 'failed' END AS outcome,
	r.duration / 1e9 AS seconds, p.place AS project_path
FROM call_tool_tasks r JOIN call_tool_names n ON n.id = r.name LEFT JOIN call_projects p ON p.project = n.project;
