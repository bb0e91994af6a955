package inbox

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestThePaceBeginsWithTheSizeThatGotThrough(t *testing.T) {
	var p pace
	require.Equal(t, 1000, p.size(1000))
	p.committed(1000)
	require.Equal(t, 1000, p.size(1000), "no conflict, no limit")

	p.failed(1000)
	p.failed(1000) // another stream's, that began before
	require.Equal(t, 500, p.size(1000))
	p.failed(1)
	require.Equal(t, 500, p.size(1000), "one message is not halved")
	p.failed(500)
	require.Equal(t, 250, p.size(1000))
	require.Equal(t, 20, p.size(20))
	p.committed(20)

	commit := func() (n int) {
		for before := p.size(MaxBatch); p.size(MaxBatch) == before; n++ {
			p.committed(before)
		}
		return n
	}
	require.Equal(t, 2*minPatience, commit(), "it grows after some that got through")
	require.Equal(t, 500, p.size(1000))
	p.failed(500)
	require.Equal(t, 2*minPatience, commit(), "what failed again is tried later")
	for range 100 {
		p.failed(p.size(MaxBatch))
		p.most = 250
	}
	require.Equal(t, maxPatience, commit(), "but it is tried")
	for p.size(MaxBatch) < MaxBatch {
		commit()
	}
	require.Equal(t, pace{}, pace{most: p.most, commits: p.commits, patience: p.patience}, "and in the end nothing is left of it")
}
