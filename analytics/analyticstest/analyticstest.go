// Package analyticstest tests that an [analytics.Store] keeps its contract. What a store
// says of a period is compared with the calls, one by one, by code that shares nothing with
// any store.
package analyticstest

import (
	"testing"

	"github.com/claude-force/claude-force/analytics"
)

// Suite checks a store. newStore returns an empty one; the suite calls it several times, and
// closes what it got.
func Suite(t *testing.T, newStore func(t *testing.T) analytics.Store) {
	t.Helper()
	open := func(t *testing.T) analytics.Store {
		s := newStore(t)
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
		return s
	}
	for _, test := range []struct {
		name string
		run  func(*testing.T, analytics.Store)
	}{
		{"SumsEqualRows", sumsEqualRows},
		{"CallsComeBackAsTheyWere", callsComeBackAsTheyWere},
		{"RunsOfAPeriod", runsOfAPeriod},
		{"AnEstimateForWhatWasFree", anEstimateForWhatWasFree},
		{"SlowestAndFailures", slowestAndFailures},
		{"ImportedOnce", importedOnce},
		{"PruneKeepsDays", pruneKeepsDays},
		{"GroupsBySeveralAddUp", groupsBySeveralAddUp},
		{"DaysAreThoseOfTheZone", daysAreThoseOfTheZone},
		{"Newest", newest},
		{"Projects", projects},
		{"AttemptsAreCountedOnce", attemptsAreCountedOnce},
		{"Longest", longest},
		{"Tools", tools},
		{"TaskTurns", taskTurns},
		{"PruneDropsTools", pruneDropsTools},
		{"UnreadWrites", unreadWrites},
		{"Views", views},
		{"QueriesReadViewsOnly", queriesReadViewsOnly},
		{"AtOnce", atOnce},
		{"Closed", closed},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
	t.Run("ViewsAnswerThePeriodThatTheyName", func(t *testing.T) { viewsAnswerThePeriodThatTheyName(t, open) })
}

// add adds calls.
func add(t *testing.T, s analytics.Store, calls ...analytics.Call) {
	t.Helper()
	if err := s.Add(t.Context(), calls...); err != nil {
		t.Fatalf("Add: %v", err)
	}
}
