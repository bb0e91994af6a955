package chaos

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// soundBank returns the content of a bank to which every transfer was applied once.
func soundBank(sent []Transfer) Balances {
	b := Balances{Accounts: make(map[int]int64), Ledger: slices.Clone(sent)}
	for id := range bankAccounts {
		b.Accounts[id] = bankOpening
	}
	for _, t := range sent {
		b.Accounts[t.From] -= t.Amount
		b.Accounts[t.To] += t.Amount
	}
	return b
}

// ofOneKey returns the places of two transfers with the same key.
func ofOneKey(sent []Transfer) (first, second int) {
	seen := make(map[int]int)
	for n, t := range sent {
		if first, ok := seen[t.From]; ok {
			return first, n
		}
		seen[t.From] = n
	}
	panic("no account has two")
}

func TestTheBanksCheckerFindsPlantedFaults(t *testing.T) {
	var sent []Transfer
	for n := range 500 {
		sent = append(sent, transfer(7, n))
	}
	require.Empty(t, CheckBank(sent, soundBank(sent)))
	first := sent[0]
	for name, fault := range map[string]struct {
		plant func(b *Balances)
		says  []string
	}{
		"a transfer is lost": {func(b *Balances) {
			*b = soundBank(sent[1:])
		}, []string{"1 transfers lost: " + first.ID, "2 accounts with a wrong balance"}},
		"a transfer is applied twice": {func(b *Balances) {
			*b = soundBank(append(slices.Clone(sent), first))
		}, []string{"1 transfers applied more than once: " + first.ID, "2 accounts with a wrong balance"}},
		"a transfer is applied twice and written down once": {func(b *Balances) {
			b.Accounts[first.From] -= first.Amount
			b.Accounts[first.To] += first.Amount
		}, []string{"2 accounts with a wrong balance"}},
		"a transfer is written down and not applied": {func(b *Balances) {
			b.Accounts[first.From] += first.Amount
			b.Accounts[first.To] -= first.Amount
		}, []string{"2 accounts with a wrong balance"}},
		"half of a transfer": {func(b *Balances) {
			b.Accounts[first.To] -= first.Amount
		}, []string{"1 accounts with a wrong balance", "the total of 1000 accounts is"}},
		"an account is gone": {func(b *Balances) {
			delete(b.Accounts, 3)
		}, []string{"the total of 999 accounts is"}},
		"an earlier transfer of a key is applied after a later one": {func(b *Balances) {
			n, m := ofOneKey(sent)
			b.Ledger[n], b.Ledger[m] = b.Ledger[m], b.Ledger[n]
		}, []string{"transfers applied after a later one of their key"}},
		"another amount": {func(b *Balances) {
			b.Ledger[0].Amount++
		}, []string{"1 transfers altered: " + first.ID}},
		"a transfer that nobody sent": {func(b *Balances) {
			b.Ledger = append(b.Ledger, Transfer{ID: "forged"})
		}, []string{"1 transfers that nobody sent: forged"}},
		"a message parked": {func(b *Balances) {
			b.Parked = 1
		}, []string{"1 messages parked"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := soundBank(sent)
			fault.plant(&b)
			wrong := CheckBank(sent, b)
			require.Len(t, wrong, len(fault.says), "%v", wrong)
			for _, says := range fault.says {
				require.True(
					t,
					slices.ContainsFunc(wrong, func(s string) bool { return strings.Contains(s, says) }), "%v", wrong,
				)
			}
		})
	}
}

func TestASeedRepeatsTransfersAndCopiesAndAThirdOfTheMessagesAreCopies(t *testing.T) {
	again := 0
	for n := range 10_000 {
		require.Equal(t, transfer(3, n), transfer(3, n))
		require.Equal(t, copies(3, n), copies(3, n))
		require.NotEqual(t, transfer(3, n).From, transfer(3, n).To)
		again += len(copies(3, n))
	}
	require.Greater(t, 100*again, 33*(10_000+again))
	require.NotEqual(t, transfer(3, 1), transfer(4, 1))
}
