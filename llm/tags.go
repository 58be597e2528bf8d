package llm

import "context"

// Tags name what a call is part of, for records and telemetry. They travel in
// the context, since they are no part of the request.
type Tags struct {
	Workflow string
	Run      string
	Step     string // path of the step
	Item     string // key of the item of a foreach
	Task     string // id of the task
	Tool     string // the tool that makes the call while it runs; empty for an agent's own calls
	Key      string // name of the key of a server's client that the call is for; empty for the owner of the data folder
	Team     string // of the key; may be empty

	// InsteadOf is the model that would have been used if none had been selected
	// automatically. It is empty if the model was named, or if it is unknown.
	InsteadOf string
}

type tagsKey struct{}

// WithTags returns ctx with tags for all calls made with it.
func WithTags(ctx context.Context, t Tags) context.Context {
	return context.WithValue(ctx, tagsKey{}, t)
}

// TagsOf returns the tags of ctx; zero if it has none.
func TagsOf(ctx context.Context) Tags {
	t, _ := ctx.Value(tagsKey{}).(Tags)
	return t
}
