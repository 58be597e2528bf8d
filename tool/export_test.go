package tool

// WithRipgrepFrom returns options that use ripgrep for searches of at least n bytes.
func (o Options) WithRipgrepFrom(n int64) Options {
	o.ripgrepFrom = &n
	return o
}

// ToValid is toValid.
var ToValid = toValid
