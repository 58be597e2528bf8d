package compare

// Means are the means of groups of values that follow one another, at least
// [MeanGroups] if there are as many values, and less than twice as many. It is
// for what is 0 for most calls, such as an error, of which the median says
// nothing, and takes the same memory for any number of values.
type Means struct {
	sums []float64 // of whole groups, and the last that is being filled
	size int       // of a group
	last int       // values in the last group
}

// MeanGroups is the least number of groups of enough values.
const MeanGroups = 50

// Add adds the next value.
func (m *Means) Add(v float64) {
	if m.size == 0 {
		m.size = 1
	}
	if len(m.sums) == 0 || m.last == m.size {
		if len(m.sums) == 2*MeanGroups {
			m.halve()
		}
		m.sums, m.last = append(m.sums, 0), 0
	}
	m.sums[len(m.sums)-1] += v
	m.last++
}

// halve joins groups two by two.
func (m *Means) halve() {
	for i := range len(m.sums) / 2 {
		m.sums[i] = m.sums[2*i] + m.sums[2*i+1]
	}
	m.sums = m.sums[:len(m.sums)/2]
	m.size *= 2
}

// Samples returns the means, without the last group if it is not full.
func (m *Means) Samples() []float64 {
	sums := m.sums
	if m.last < m.size && len(sums) > 1 {
		sums = sums[:len(sums)-1]
	}
	means := make([]float64, len(sums))
	for i, sum := range sums {
		means[i] = sum / float64(max(m.size, 1))
	}
	return means
}
