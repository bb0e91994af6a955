package chaos

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// enoughOfABank returns a report of a minute that just reaches every minimum.
func enoughOfABank() *BankReport {
	r := &BankReport{
		Transfers: 3000, Messages: 4286, Copies: 1286, Kills: 7, Pauses: 5, Leaves: 3, Cuts: 15, Brokers: 1, Fenced: 1,
		Handovers: make(map[BankMode]int),
	}
	for _, mode := range bankModes() {
		r.Handovers[mode] = 20
	}
	return r
}

func TestABankRunThatDidTooLittleFails(t *testing.T) {
	r := enoughOfABank()
	r.judge(time.Minute)
	require.True(t, r.Passed(), "%v", r.Problems)

	for says, less := range map[string]func(r *BankReport){
		"6 kills":                                 func(r *BankReport) { r.Kills-- },
		"4 pauses past the session":               func(r *BankReport) { r.Pauses-- },
		"2 clean leaves":                          func(r *BankReport) { r.Leaves-- },
		"14 connections cut":                      func(r *BankReport) { r.Cuts-- },
		"0 restarts of the broker":                func(r *BankReport) { r.Brokers-- },
		"0 members fenced":                        func(r *BankReport) { r.Fenced-- },
		"2999 transfers":                          func(r *BankReport) { r.Transfers-- },
		"19 partitions of mode message":           func(r *BankReport) { r.Handovers[PerMessage]-- },
		"0 partitions of mode offsets-alone":      func(r *BankReport) { delete(r.Handovers, OffsetsAlone) },
		"1285 of 4286 messages are copies":        func(r *BankReport) { r.Copies-- },
		"0 of 0 messages are copies, wanted were": func(r *BankReport) { r.Messages, r.Copies = 0, 0 },
	} {
		t.Run(says, func(t *testing.T) {
			r := enoughOfABank()
			less(r)
			r.judge(time.Minute)
			require.False(t, r.Passed())
			require.Len(t, r.Problems, 1)
			require.Contains(t, r.Problems[0], says)
			require.Contains(t, r.Problems[0], "the run proves too little")
			require.Contains(t, r.String(), "WRONG: "+says)
		})
	}
}

func TestALongerBankRunMustDoMore(t *testing.T) {
	r := enoughOfABank()
	r.judge(10 * time.Minute)
	require.Len(t, r.Problems, 7+len(bankModes()), "%v", r.Problems)
}

func TestABankRunWithAWrongEffectHasNotPassed(t *testing.T) {
	r := enoughOfABank()
	r.Wrong = []string{"batch: 1 transfers lost: transfer-7-3"}
	r.judge(time.Minute)
	require.False(t, r.Passed())
	require.True(t, strings.Contains(r.String(), "WRONG: batch: 1 transfers lost"))
}
