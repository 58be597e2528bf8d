package callspg

import (
	"strconv"
	"strings"
	"sync"

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
