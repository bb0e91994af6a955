package pacing

import "time"

// ReadBudget bounds the bytes of a read by the time that they take. Without it, a slow link would deliver
// nothing until all bytes that may be in flight had arrived. And events that are larger than expected could
// take longer than a statement may.
type ReadBudget struct {
	// Bytes is what the next read may return.
	Bytes int64
	// Longest is how long a read may take. After that it is cut behind the row that it has reached.
	Longest time.Duration

	most int64
}

// minReadBytes is the smallest budget. If that many bytes take long, one large event takes as long.
const minReadBytes = 256 << 10

// NewReadBudget returns a budget that begins with most bytes, and never exceeds it.
func NewReadBudget(most int64, longest time.Duration) ReadBudget {
	return ReadBudget{Bytes: most, most: most, Longest: longest}
}

// Adapt changes the budget after a read that took this long and returned size bytes. After a long read the
// next read asks for what half the longest time is enough for. After a short read that was cut, because there
// was more, the next read asks for twice as much. After an error it asks for a quarter.
func (b *ReadBudget) Adapt(size int64, cut bool, took time.Duration, err error) {
	switch half := b.Longest / 2; {
	case err != nil:
		b.Bytes /= 4
	case took > half:
		b.Bytes = min(b.Bytes, int64(float64(size)*half.Seconds()/took.Seconds()))
	case took < half/4 && cut:
		b.Bytes *= 2
	}
	b.Bytes = min(max(b.Bytes, minReadBytes), b.most)
}
