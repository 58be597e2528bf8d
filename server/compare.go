package server

import (
	"context"
	"errors"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/compare"
	"github.com/claude-force/claude-force/compare/sets"
	"github.com/claude-force/claude-force/fault"
)

type compareInput struct {
	A     string  `query:"a" required:"true" minLength:"1" doc:"a run, or a period" example:"2026-11-01..07"`
	B     string  `query:"b" required:"true" minLength:"1" doc:"what to judge: a run, or a period"`
	Alpha float64 `query:"alpha" exclusiveMinimum:"0" exclusiveMaximum:"1" default:"0.01" doc:"how probable it may be that any change is found where there is none"`
}

type compareOutput struct {
	Body *compare.Report
}

func (s *Server) compareSets(ctx context.Context, in *compareInput) (*compareOutput, error) {
	if err := compare.SameKind(in.A, in.B); err != nil {
		return nil, fault.Input(err)
	}
	var of [2]compare.Set
	for i, name := range []string{in.A, in.B} {
		var err error
		if of[i], err = s.compareSet(ctx, name); err != nil {
			return nil, err
		}
	}
	report, err := compare.Compare(of[0], of[1], compare.Options{Alpha: in.Alpha})
	return &compareOutput{report}, fault.Input(err)
}

// compareSet returns what is known of a period or a run.
func (s *Server) compareSet(ctx context.Context, name string) (set compare.Set, err error) {
	if !compare.IsPeriod(name) {
		d, err := s.runs.Load(ctx, name)
		if err != nil {
			return set, err
		}
		return sets.OfRun(d), nil
	}
	err = s.withCalls(ctx, func(store analytics.Store) error {
		set, _, err = sets.OfPeriod(ctx, store, name, s.opts.Config.TimeZone)
		return err
	})
	if errors.Is(err, compare.ErrNoCalls) {
		err = fault.Input(err)
	}
	return set, err
}
