package callsdb

import (
	"strings"
	"sync"

	"github.com/claude-force/claude-force/analytics/callsql"
)

// upsert adds to the sums of a key. It is made when it is first needed: most processes
// never do.
var upsert = sync.OnceValue(func() string {
	var sb strings.Builder
	sb.WriteString(`INSERT INTO call_rollups (seconds, kind, start, project, value, source, latency, service_latency, longest, ` + strings.Join(callsql.Sums[:], ", ") + `) VALUES (?` +
		strings.Repeat(`, ?`, len(callsql.Sums)+8) + `) ON CONFLICT DO UPDATE SET latency = excluded.latency, service_latency = excluded.service_latency, longest = max(longest, excluded.longest)`)
	for _, c := range callsql.Sums {
		sb.WriteString(`, ` + c + ` = ` + c + ` + excluded.` + c)
	}
	return sb.String()
})

// flushRollups adds the batch's sums to those of the file.
func (b *batch) flushRollups() error {
	for k, t := range b.rollups {
		key := []any{k.Seconds, k.Kind, k.Start, k.Project, k.Value, string(k.Source)}
		err := b.write.Query(`SELECT latency, service_latency FROM call_rollups WHERE seconds = ? AND kind = ? AND start = ? AND project = ? AND value = ? AND source = ?`, func(row *stmt) error {
			return callsql.MergeLatencies(t, row.ColumnRawBlob(0), row.ColumnRawBlob(1))
		}, key...)
		if err != nil {
			return err
		}
		latency, service, err := callsql.Latencies(t)
		if err != nil {
			return err
		}
		values := append(key, latency, service, int64(t.Longest))
		for _, n := range callsql.SumValues(t) {
			values = append(values, n)
		}
		err = b.write.Run(upsert(), values...)
		if err != nil {
			return err
		}
	}
	return nil
}
