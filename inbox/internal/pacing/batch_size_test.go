package pacing

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestThePaceBeginsWithTheSizeThatGotThrough(t *testing.T) {
	const maxBatch = 10_000
	p := BatchSize{Max: maxBatch}
	require.Equal(t, 1000, p.Next(1000))
	p.Committed(1000)
	require.Equal(t, 1000, p.Next(1000), "no conflict, no limit")

	p.Failed(1000)
	p.Failed(1000) // another stream's, that began before
	require.Equal(t, 500, p.Next(1000))
	p.Failed(1)
	require.Equal(t, 500, p.Next(1000), "one message is not halved")
	p.Failed(500)
	require.Equal(t, 250, p.Next(1000))
	require.Equal(t, 20, p.Next(20))
	p.Committed(20)

	commit := func() (n int) {
		for before := p.Next(maxBatch); p.Next(maxBatch) == before; n++ {
			p.Committed(before)
		}
		return n
	}
	require.Equal(t, 2*minPatience, commit(), "it grows after some that got through")
	require.Equal(t, 500, p.Next(1000))
	p.Failed(500)
	require.Equal(t, 2*minPatience, commit(), "what failed again is tried later")
	for range 100 {
		p.Failed(p.Next(maxBatch))
		p.most = 250
	}
	require.Equal(t, maxPatience, commit(), "but it is tried")
	for p.Next(maxBatch) < maxBatch {
		commit()
	}
	require.Equal(t, BatchSize{}, BatchSize{most: p.most, commits: p.commits, patience: p.patience},
		"and in the end nothing is left of it")
}
