-- What agents did with tools, by the hour, so that a summary need not read the rows. Triggers
-- keep it, whoever changes rows: also programs of the version before, which do not know it.
CREATE TABLE call_tool_sums (
	start      INTEGER NOT NULL, -- of the hour, in seconds since 1970
	project    TEXT NOT NULL,
	tool_calls INTEGER NOT NULL,
	failed     INTEGER NOT NULL,
	denied     INTEGER NOT NULL,
	unknown    INTEGER NOT NULL,
	tasks      INTEGER NOT NULL,
	turns      INTEGER NOT NULL,
	PRIMARY KEY (start, project)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER call_tool_sums_emptied AFTER UPDATE ON call_tool_sums WHEN new.tool_calls = 0 AND new.tasks = 0 BEGIN
	DELETE FROM call_tool_sums WHERE start = new.start AND project = new.project;
END;

CREATE TRIGGER call_tools_added AFTER INSERT ON call_tools BEGIN
	INSERT INTO call_tool_sums (start, project, tool_calls, failed, denied, unknown, tasks, turns)
	SELECT (new.time - ((new.time % 3600000000000) + 3600000000000) % 3600000000000) / 1000000000, n.project,
		1, new.outcome = 1, new.outcome = 2, new.outcome = 3, 0, 0
	FROM call_tool_names n WHERE n.id = new.name
	ON CONFLICT (start, project) DO UPDATE SET tool_calls = tool_calls + excluded.tool_calls, failed = failed + excluded.failed, denied = denied + excluded.denied, unknown = unknown + excluded.unknown;
END;
CREATE TRIGGER call_tools_changed AFTER UPDATE OF time, name, outcome ON call_tools BEGIN
	UPDATE call_tool_sums SET tool_calls = tool_calls - 1, failed = failed - (old.outcome = 1), denied = denied - (old.outcome = 2), unknown = unknown - (old.outcome = 3)
	WHERE start = (old.time - ((old.time % 3600000000000) + 3600000000000) % 3600000000000) / 1000000000
		AND project = (SELECT project FROM call_tool_names WHERE id = old.name);
	INSERT INTO call_tool_sums (start, project, tool_calls, failed, denied, unknown, tasks, turns)
	SELECT (new.time - ((new.time % 3600000000000) + 3600000000000) % 3600000000000) / 1000000000, n.project,
		1, new.outcome = 1, new.outcome = 2, new.outcome = 3, 0, 0
	FROM call_tool_names n WHERE n.id = new.name
	ON CONFLICT (start, project) DO UPDATE SET tool_calls = tool_calls + excluded.tool_calls, failed = failed + excluded.failed, denied = denied + excluded.denied, unknown = unknown + excluded.unknown;
END;
CREATE TRIGGER call_tools_deleted AFTER DELETE ON call_tools BEGIN
	UPDATE call_tool_sums SET tool_calls = tool_calls - 1, failed = failed - (old.outcome = 1), denied = denied - (old.outcome = 2), unknown = unknown - (old.outcome = 3)
	WHERE start = (old.time - ((old.time % 3600000000000) + 3600000000000) % 3600000000000) / 1000000000
		AND project = (SELECT project FROM call_tool_names WHERE id = old.name);
END;

CREATE TRIGGER call_tool_tasks_added AFTER INSERT ON call_tool_tasks BEGIN
	INSERT INTO call_tool_sums (start, project, tool_calls, failed, denied, unknown, tasks, turns)
	SELECT (new.time - ((new.time % 3600000000000) + 3600000000000) % 3600000000000) / 1000000000, n.project,
		0, 0, 0, 0, 1, new.turns
	FROM call_tool_names n WHERE n.id = new.name
	ON CONFLICT (start, project) DO UPDATE SET tasks = tasks + excluded.tasks, turns = turns + excluded.turns;
END;
CREATE TRIGGER call_tool_tasks_changed AFTER UPDATE OF time, name, turns ON call_tool_tasks BEGIN
	UPDATE call_tool_sums SET tasks = tasks - 1, turns = turns - old.turns
	WHERE start = (old.time - ((old.time % 3600000000000) + 3600000000000) % 3600000000000) / 1000000000
		AND project = (SELECT project FROM call_tool_names WHERE id = old.name);
	INSERT INTO call_tool_sums (start, project, tool_calls, failed, denied, unknown, tasks, turns)
	SELECT (new.time - ((new.time % 3600000000000) + 3600000000000) % 3600000000000) / 1000000000, n.project,
		0, 0, 0, 0, 1, new.turns
	FROM call_tool_names n WHERE n.id = new.name
	ON CONFLICT (start, project) DO UPDATE SET tasks = tasks + excluded.tasks, turns = turns + excluded.turns;
END;
CREATE TRIGGER call_tool_tasks_deleted AFTER DELETE ON call_tool_tasks BEGIN
	UPDATE call_tool_sums SET tasks = tasks - 1, turns = turns - old.turns
	WHERE start = (old.time - ((old.time % 3600000000000) + 3600000000000) % 3600000000000) / 1000000000
		AND project = (SELECT project FROM call_tool_names WHERE id = old.name);
END;

INSERT INTO call_tool_sums (start, project, tool_calls, failed, denied, unknown, tasks, turns)
SELECT start, project, sum(tool_calls), sum(failed), sum(denied), sum(unknown), sum(tasks), sum(turns) FROM (
	SELECT (r.time - ((r.time % 3600000000000) + 3600000000000) % 3600000000000) / 1000000000 AS start, n.project,
		1 AS tool_calls, r.outcome = 1 AS failed, r.outcome = 2 AS denied, r.outcome = 3 AS unknown, 0 AS tasks, 0 AS turns
	FROM call_tools r JOIN call_tool_names n ON n.id = r.name
	UNION ALL
	SELECT (r.time - ((r.time % 3600000000000) + 3600000000000) % 3600000000000) / 1000000000, n.project,
		0, 0, 0, 0, 1, r.turns
	FROM call_tool_tasks r JOIN call_tool_names n ON n.id = r.name
) GROUP BY start, project;
