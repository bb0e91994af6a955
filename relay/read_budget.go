package relay

import "time"

// readBudget bounds the bytes of a read by the time that they take. Without it a slow link
// would deliver nothing until a whole MaxInFlightBytes had come, and events of a size that
// nobody expected could take longer than a statement may.
type readBudget struct {
	bytes   int64 // of the next read
	most    int64
	longest time.Duration // of a read; then it is cut
}

// minReadBytes is what a read asks for at least: where that takes long, one large event
// takes as long.
const minReadBytes = 256 << 10

// longestRead is after what time a read is cut behind the row that it is at.
const longestRead = 2 * time.Second

func (c Config) longestRead() time.Duration { return min(longestRead, c.answerTimeout/4) }

func newReadBudget(cfg Config) readBudget {
	return readBudget{bytes: cfg.MaxInFlightBytes, most: cfg.MaxInFlightBytes, longest: cfg.longestRead()}
}

// adapt takes in how long a read took: after a long one the next asks for what half the
// time would do for, after a quick one that was full for twice as much.
func (a *readBudget) adapt(b batch, took time.Duration, err error) {
	switch half := a.longest / 2; {
	case err != nil:
		a.bytes /= 4
	case took > half:
		a.bytes = min(a.bytes, int64(float64(b.size)*half.Seconds()/took.Seconds()))
	case took < half/4 && b.cut:
		a.bytes *= 2
	}
	a.bytes = min(max(a.bytes, minReadBytes), a.most)
}
