-- +goose Up

-- What agents did with tools, by the hour, so that a summary need not read the rows. It is
-- kept as long as these.
CREATE TABLE call_tool_sums (
	start      bigint NOT NULL,
	project    text COLLATE "C" NOT NULL,
	tool_calls bigint NOT NULL,
	failed     bigint NOT NULL,
	denied     bigint NOT NULL,
	unknown    bigint NOT NULL,
	tasks      bigint NOT NULL,
	turns      bigint NOT NULL,
	PRIMARY KEY (start, project)
) WITH (fillfactor = 70);
INSERT INTO call_tool_sums
SELECT start, project, sum(tool_calls), sum(failed), sum(denied), sum(unknown), sum(tasks), sum(turns) FROM (
	SELECT (r.time - ((r.time % 3600000000000) + 3600000000000) % 3600000000000) / 1000000000 AS start, n.project,
		1 AS tool_calls, (r.outcome = 1)::int AS failed, (r.outcome = 2)::int AS denied, (r.outcome = 3)::int AS unknown, 0 AS tasks, 0 AS turns
	FROM call_tools r JOIN call_tool_names n ON n.id = r.name
	UNION ALL
	SELECT (r.time - ((r.time % 3600000000000) + 3600000000000) % 3600000000000) / 1000000000, n.project, 0, 0, 0, 0, 1, r.turns
	FROM call_tool_tasks r JOIN call_tool_names n ON n.id = r.name) x
GROUP BY start, project;
