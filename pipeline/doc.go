// Package pipeline turns settings into one [llm.Model]: the provider with every
// layer around it. It knows nothing of agents and workflows, so a caching proxy
// needs this package and no other.
//
//	p, err := pipeline.New(ctx, cfg, pipeline.Options{})
//	if err != nil { … }
//	defer p.Close()
//	answer, err := llm.Collect(p.Model().Stream(ctx, req))
//
// A call passes the layers from the outside in. [Layers] lists them, and its
// example states the order. To do without a layer, delete its line in the
// variable layers.
//
// The package also owns what the settings name: the files in the data folder
// ([DataDir]), the price table ([LoadPrices]), the response cache ([OpenCache])
// and the store of recorded calls ([OpenCalls]).
package pipeline
