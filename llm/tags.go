package llm

import "context"

// Tags say what a call is part of and how it came about, for those who write calls down. They travel
// in the context, since they are no part of the request.
type Tags struct {
	Workflow string
	Run      string
	Step     string // path of the step
	Item     string // key of the item of a foreach
	Task     string // id of the task

	// InsteadOf is the model that would have been asked if none had been chosen.
	// It is empty if the model was named, or nobody knows.
	InsteadOf string
}

type tagsKey struct{}

// WithTags is ctx with tags for all calls made with it.
func WithTags(ctx context.Context, t Tags) context.Context {
	return context.WithValue(ctx, tagsKey{}, t)
}

// TagsOf are the tags of ctx; zero if it has none.
func TagsOf(ctx context.Context) Tags {
	t, _ := ctx.Value(tagsKey{}).(Tags)
	return t
}
