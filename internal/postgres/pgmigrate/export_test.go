package pgmigrate

// What tests use with steps of their own.
var (
	UpWith = up
	Raise  = raise
)
