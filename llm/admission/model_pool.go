package admission

import "strings"

// Limits are the rate limits of a pool of models, for each minute. 0 means
// that none is known.
type Limits struct {
	Requests     int
	InputTokens  int // those not read from the prompt cache
	OutputTokens int
}

// Tier is the usage tier of an organization, which says what limits to assume
// before the service has named them.
type Tier string

// The tiers. The empty one is TierStart, the lowest: to begin too low costs a
// few seconds, to begin too high costs refused calls.
const (
	TierStart Tier = "start"
	TierBuild Tier = "build"
	TierScale Tier = "scale"
	TierNone  Tier = "none" // assume no limits until some are learned
)

// tierLimits are the documented limits of most pools and of the Fable models.
var tierLimits = map[Tier]struct{ most, fable Limits }{
	TierStart: {Limits{1000, 2_000_000, 400_000}, Limits{1000, 500_000, 100_000}},
	TierBuild: {Limits{5000, 5_000_000, 1_000_000}, Limits{2000, 1_500_000, 300_000}},
	TierScale: {Limits{10_000, 10_000_000, 2_000_000}, Limits{4000, 4_000_000, 800_000}},
	TierNone:  {},
}

// LimitsOf returns the limits that the tier's pool of that name has by default.
func (t Tier) LimitsOf(pool string) Limits {
	limits, known := tierLimits[t]
	if !known {
		limits = tierLimits[TierStart]
	}
	if strings.HasPrefix(pool, "fable-") || strings.HasPrefix(pool, "mythos-") {
		return limits.fable
	}
	return limits.most
}

// PoolOf returns the name of the pool whose limits a model's calls count against,
// such as "sonnet-5.5". The 4.x models of a line share one, and so do the
// Fable 5.x models. The clouds' names of a model are understood; a model that
// is not known has a pool of its own.
func PoolOf(model string) string {
	_, name, ok := strings.Cut(model, "claude-")
	if !ok {
		return model
	}
	parts := strings.FieldsFunc(name, func(r rune) bool { return r == '-' || r == '@' })
	if len(parts) < 2 || isVersion(parts[0]) || !isVersion(parts[1]) {
		return model
	}
	line, major := parts[0], parts[1]
	shared := line == "fable" || major == "4" && (line == "opus" || line == "sonnet")
	if shared || len(parts) < 3 || !isVersion(parts[2]) {
		return line + "-" + major
	}
	return line + "-" + major + "." + parts[2]
}

// isVersion tells a version's number from a date and from a word.
func isVersion(s string) bool {
	return len(s) <= 2 && strings.Trim(s, "0123456789") == ""
}
