package llm

// Media is how large an image or a document is to a model.
type Media struct {
	Width, Height int // of an image, in pixels
	Pages         int // of a document
}

// Sizes by which the service counts images and documents.
const (
	patch        = 28   // pixels of a side that one token covers
	lowEdge      = 1568 // longest side and most tokens of an image, of models before Opus 4.7
	lowTokens    = 1568
	highEdge     = 2576 // and of those since
	highTokens   = 4784
	tokensOfPage = 2000 // its text and its image: documented are 1,500 to 3,000 for the text alone
)

// MediaTokens returns how many tokens a model makes of an image: one for each patch of
// 28 by 28 pixels, after it has been scaled to what the model sees. Of a document it is
// an estimate by its pages. It is 0 for nil. See [PriceTable.TokenRatio] for the names of models.
func (t *PriceTable) MediaTokens(model string, m *Media) int {
	switch {
	case m == nil:
		return 0
	case m.Pages > 0:
		return m.Pages * tokensOfPage
	}
	edge, most := highEdge, highTokens
	if info := t.like(model); info != nil && info.TokensPerCharacter > 0 { // those with the older tokenizer
		edge, most = lowEdge, lowTokens
	}
	width, height := m.Width, m.Height
	if long := max(width, height); long > edge {
		width, height = width*edge/long, height*edge/long
	}
	patches := func(side int) int { return max(1, (side+patch-1)/patch) }
	return min(patches(width)*patches(height), most)
}
