package callspg

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/claude-force/claude-force/analytics/callsql"
)

// updateRollups returns the statement that adds to sums, which are locked: six arrays of
// their keys, those of what does not add up, and one for each of [callsql.Sums].
var updateRollups = sync.OnceValue(func() string {
	var set, names, arrays strings.Builder
	for i, c := range callsql.Sums {
		set.WriteString(", " + c + " = r." + c + " + n." + c)
		names.WriteString(", " + c)
		arrays.WriteString(", $" + strconv.Itoa(10+i) + "::bigint[]")
	}
	return `UPDATE call_rollups r SET longest = greatest(r.longest, n.longest), latency = n.latency, service_latency = n.service_latency` + set.String() + `
		FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bytea[], $9::bytea[]` + arrays.String() + `)
			AS n (seconds, kind, start, project, value, source, longest, latency, service_latency` + names.String() + `)
		WHERE (r.seconds, r.kind, r.start, r.project, r.value, r.source) = (n.seconds, n.kind, n.start, n.project, n.value, n.source)`
})

func compareKeys(a, b callsql.Key) int {
	return cmp.Or(cmp.Compare(a.Seconds, b.Seconds), strings.Compare(a.Kind, b.Kind), cmp.Compare(a.Start, b.Start), strings.Compare(a.Project, b.Project),
		strings.Compare(a.Value, b.Value), strings.Compare(string(a.Source), string(b.Source)))
}

// flushRollups adds the batch's sums to those of the database. Rows are made before they
// are locked, so that of two processes with the same new row the second adds to it.
func (b *batch) flushRollups(ctx context.Context) error {
	if len(b.rollups) == 0 {
		return nil
	}
	const columns = `seconds, kind, start, project, value, source`
	keys := slices.SortedFunc(maps.Keys(b.rollups), compareKeys)
	var seconds, starts []int64
	var kinds, projects, values, sources []string
	for _, k := range keys {
		seconds, kinds, starts = append(seconds, k.Seconds), append(kinds, k.Kind), append(starts, k.Start)
		projects, values, sources = append(projects, k.Project), append(values, k.Value), append(sources, string(k.Source))
	}
	args := []any{seconds, kinds, starts, projects, values, sources}
	const from = `unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[]) WITH ORDINALITY AS n (` + columns + `, nth)`
	if _, err := b.tx.Exec(ctx, `INSERT INTO call_rollups (`+columns+`) SELECT `+columns+` FROM `+from+` ORDER BY nth ON CONFLICT DO NOTHING`, args...); err != nil {
		return err
	}
	rows, err := b.tx.Query(ctx, `SELECT n.nth, r.latency, r.service_latency FROM `+from+` JOIN call_rollups r USING (`+columns+`) ORDER BY n.nth FOR UPDATE OF r`, args...)
	if err != nil {
		return err
	}
	var nth int64
	var latency, service []byte
	if _, err := pgx.ForEachRow(rows, []any{&nth, &latency, &service}, func() error {
		return callsql.MergeLatencies(b.rollups[keys[nth-1]], latency, service)
	}); err != nil {
		return err
	}
	sums := make([][]int64, len(callsql.Sums))
	var longest []int64
	var latencies, services [][]byte
	for _, k := range keys {
		t := b.rollups[k]
		latency, service, err := callsql.Latencies(t)
		if err != nil {
			return err
		}
		latencies, services, longest = append(latencies, latency), append(services, service), append(longest, int64(t.Longest))
		for i, v := range callsql.SumValues(t) {
			sums[i] = append(sums[i], v)
		}
	}
	args = append(args, longest, latencies, services)
	for i := range sums {
		args = append(args, sums[i])
	}
	_, err = b.tx.Exec(ctx, updateRollups(), args...)
	return err
}
