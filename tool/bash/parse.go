package bash

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"mvdan.cc/sh/v3/syntax"
)

// analysis is what a command's text says about how to run it.
type analysis struct {
	// oneIsAnAnswer is set if exit code 1 is no failure: the last command is one
	// that answers a question with it.
	oneIsAnAnswer bool
	sleeps        bool          // the command begins with sleep
	sleep         time.Duration // how long, if it is all that the command does
	shows         []string      // the files that it prints, if it is a plain cat
}

// answering are the commands that answer a question with exit code 1.
var answering = []string{"grep", "egrep", "rg", "diff", "find", "test", "["}

// parse analyzes a command. One that is no shell syntax has no properties.
func parse(command string) analysis {
	var a analysis
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(command), "")
	if err != nil || len(file.Stmts) == 0 {
		return a
	}
	last := file.Stmts[len(file.Stmts)-1]
	if words, ok := lastWords(last); ok && !last.Background && !last.Negated {
		a.oneIsAnAnswer = slices.Contains(answering, words[0]) || len(words) > 1 && words[0] == "git" && words[1] == "diff"
	}
	first, ok := firstWords(file.Stmts[0])
	if _, simple := last.Cmd.(*syntax.CallExpr); ok && simple && first[0] == "cat" && len(file.Stmts) == 1 && len(last.Redirs) == 0 && !last.Background {
		a.shows = slices.DeleteFunc(first[1:], func(word string) bool { return word == "" || word[0] == '-' })
	}
	if ok && first[0] == "sleep" {
		a.sleeps = true
		if call, _ := file.Stmts[0].Cmd.(*syntax.CallExpr); call != nil && len(file.Stmts) == 1 && !file.Stmts[0].Background {
			a.sleep = sleepTime(first[1:])
		}
	}
	return a
}

// lastWords returns the words of the last simple command of a statement, if it
// has no assignments. The command after && is not the last one that ran if what
// is before it failed.
func lastWords(s *syntax.Stmt) ([]string, bool) {
	switch cmd := s.Cmd.(type) {
	case *syntax.CallExpr:
		return words(cmd)
	case *syntax.BinaryCmd:
		return lastWords(cmd.Y)
	}
	return nil, false
}

// firstWords returns the words of the first simple command of a statement.
func firstWords(s *syntax.Stmt) ([]string, bool) {
	switch cmd := s.Cmd.(type) {
	case *syntax.CallExpr:
		return words(cmd)
	case *syntax.BinaryCmd:
		return firstWords(cmd.X)
	}
	return nil, false
}

// words returns the words of a simple command; those that the shell expands are
// empty.
func words(call *syntax.CallExpr) ([]string, bool) {
	if len(call.Assigns) > 0 || len(call.Args) == 0 {
		return nil, false
	}
	list := make([]string, len(call.Args))
	for i, w := range call.Args {
		list[i] = w.Lit()
	}
	return list, true
}

// sleepTime returns how long sleep with these arguments waits.
func sleepTime(args []string) time.Duration {
	var total float64
	for _, arg := range args {
		unit := 1.0
		switch {
		case strings.HasSuffix(arg, "s"):
			arg = strings.TrimSuffix(arg, "s")
		case strings.HasSuffix(arg, "m"):
			arg, unit = strings.TrimSuffix(arg, "m"), 60
		case strings.HasSuffix(arg, "h"):
			arg, unit = strings.TrimSuffix(arg, "h"), 3600
		case strings.HasSuffix(arg, "d"):
			arg, unit = strings.TrimSuffix(arg, "d"), 86400
		}
		n, err := strconv.ParseFloat(arg, 64)
		if err != nil || n < 0 {
			return 0
		}
		total += n * unit
	}
	if total > maxTimeout.Seconds() {
		return maxTimeout
	}
	return time.Duration(total * float64(time.Second))
}
