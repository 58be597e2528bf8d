package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/claude-force/claude-force/analytics"
	"github.com/claude-force/claude-force/pipeline"
)

// projects are those of a store, by their ids.
type projects map[string]analytics.Project

func knownProjects(ctx context.Context, store analytics.Store) (projects, error) {
	list, err := store.Projects(ctx)
	known := projects{}
	for _, p := range list {
		known[p.ID] = p
	}
	return known, err
}

// project returns the id of the project that --project names: the short name of
// one that has calls, the last folders of its path, or a folder, to whose project
// it refers. A name that several projects have is an error that lists them. One
// that none has is reported, and no call is of it.
func (a *app) project(ctx context.Context, store analytics.Store, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	list, err := store.Projects(ctx)
	if err != nil {
		return "", err
	}
	id, err := findProject(list, text)
	if err != nil || id == "" {
		if err == nil && len(list) > 0 {
			a.say("there are no calls of a project %q; analytics costs --by project shows those that there are", text)
		}
		return text, err
	}
	for _, p := range list {
		if filepath.IsAbs(id) && p.ID == filepath.Base(id) {
			a.say("calls of earlier versions, which kept no paths, are under --project '%s'", p.Name)
		}
	}
	return id, nil
}

// findProject returns the id of the project that a text means. It is empty if text
// is a name that none has.
func findProject(list []analytics.Project, text string) (string, error) {
	found := matching(list, text)
	switch len(found) {
	case 0:
		return folderProject(text), nil
	case 1:
		return found[0].ID, nil
	}
	var lines strings.Builder
	for _, p := range found {
		fmt.Fprintf(&lines, "\n  --project '%s'  %s", p.Name, named(p.Path, "known by its name only"))
	}
	return "", badInput("--project %q: %d projects have this name; give one of%s", text, len(found), lines.String())
}

// matching returns the projects that a text may mean: the one with this name or
// path, else those whose last folders these are.
func matching(list []analytics.Project, text string) (found []analytics.Project) {
	for _, p := range list {
		if p.Name == text || p.Path == text {
			return []analytics.Project{p}
		}
		if p.ID == text || strings.HasSuffix(filepath.ToSlash(p.Path), "/"+strings.Trim(filepath.ToSlash(text), "/")) {
			found = append(found, p)
		}
	}
	return found
}

// folderProject returns the project of a folder: of one that exists, or one that is
// written as a path. It is empty if text is a name.
func folderProject(text string) string {
	if info, err := os.Stat(text); err == nil && info.IsDir() {
		return pipeline.Project(text)
	}
	if slash := filepath.ToSlash(text); filepath.IsAbs(text) || strings.HasPrefix(slash, "./") || strings.HasPrefix(slash, "../") {
		if path, err := filepath.Abs(text); err == nil { // it was moved or deleted
			return path
		}
	}
	return ""
}
