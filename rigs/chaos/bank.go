package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// The bank of the consumers: accounts, each with the same balance at first.
const (
	bankAccounts = 1000
	bankOpening  = int64(1_000_000)
	bankTotal    = bankAccounts * bankOpening
)

// BankMode is a way to consume. Each has a group, a consumer name and a bank of its own.
type BankMode string

// Ways to consume: the modes of package inboxkafka, one of them twice.
const (
	PerMessage BankMode = "message" // a transaction for each message
	PerBatch   BankMode = "batch"   // a transaction for a batch of a partition's messages
	// Offsets is the group's position in the database, with a row for each message's id:
	// the topic has copies at offsets of their own.
	Offsets BankMode = "offsets"
	// OffsetsAlone has no such rows, and a topic without copies, which is declared
	// exactly-once.
	OffsetsAlone BankMode = "offsets-alone"
)

func bankModes() []BankMode { return []BankMode{PerMessage, PerBatch, Offsets, OffsetsAlone} }

func (m BankMode) table(name string) string {
	return "bank_" + strings.ReplaceAll(string(m), "-", "_") + "_" + name
}

func (m BankMode) consumer() string { return "bank-" + string(m) }

// inDatabase reports whether the group's position is beside the data.
func (m BankMode) inDatabase() bool { return m == Offsets || m == OffsetsAlone }

// topic is what the mode reads, of a run's topic with copies and its other one.
func (m BankMode) topic(of string) string {
	if m == OffsetsAlone {
		return of + "-once"
	}
	return of
}

// Transfer moves an amount from one account to another. As a message it has From's number
// for its key.
type Transfer struct {
	ID     string `json:"id"`
	From   int    `json:"from"`
	To     int    `json:"to"`
	Amount int64  `json:"amount"`
}

// transfer is the n-th of a seed. It is decided by the seed and n alone.
func transfer(seed uint64, n int) Transfer {
	rng := rand.New(rand.NewPCG(seed, uint64(n)))
	t := Transfer{ID: fmt.Sprintf("transfer-%d-%d", seed, n), From: rng.IntN(bankAccounts), Amount: 1 + rng.Int64N(100)}
	t.To = (t.From + 1 + rng.IntN(bankAccounts-1)) % bankAccounts
	return t
}

// copies says how many messages later the n-th transfer is sent again, as a relay sends
// again what it does not know to have arrived: at once with its neighbours, or long after
// younger messages of its key. Every other one is, some of them twice: of all messages
// three in eight are copies.
func copies(seed uint64, n int) (after []int) {
	rng := rand.New(rand.NewPCG(seed^0xc0b1e5, uint64(n)))
	for _, share := range []float64{0.5, 0.2} {
		if rng.Float64() >= share {
			break
		}
		after = append(after, 1+rng.IntN([]int{5, 200, 2000}[rng.IntN(3)]))
	}
	return after
}

// Balances are what one bank's database says in the end.
type Balances struct {
	Accounts map[int]int64
	// Ledger has a row for each application of a transfer, in the order in which they were
	// written. Its table has no unique constraint, which would hide a second one.
	Ledger []Transfer
	// Parked counts messages that were set aside; all could be handled.
	Parked int64
}

// CheckBank says what is wrong with a bank after all of the transfers were sent, in this
// order and at least once each: nothing may be. It shares no code with package inbox.
func CheckBank(sent []Transfer, b Balances) (wrong []string) {
	expected := make(map[int]int64, bankAccounts)
	for id := range bankAccounts {
		expected[id] = bankOpening
	}
	wanted := make(map[string]int, len(sent)) // place in sent
	for n, t := range sent {
		wanted[t.ID] = n
		expected[t.From] -= t.Amount
		expected[t.To] += t.Amount
	}
	applied := make(map[string]int, len(sent))
	latest := make(map[int]int) // by key: 1 + the place in sent of the last one applied
	var altered, unknown, twice, lost, late, off []string
	for _, t := range b.Ledger {
		n, ok := wanted[t.ID]
		applied[t.ID]++
		switch {
		case !ok:
			unknown = append(unknown, t.ID)
			continue
		case sent[n] != t:
			altered = append(altered, t.ID)
		case applied[t.ID] == 2:
			twice = append(twice, t.ID)
		case applied[t.ID] == 1 && n < latest[t.From]:
			late = append(late, t.ID)
		}
		latest[t.From] = max(latest[t.From], n+1)
	}
	for id := range wanted {
		if applied[id] == 0 {
			lost = append(lost, id)
		}
	}
	total := int64(0)
	for id, balance := range b.Accounts {
		total += balance
		if balance != expected[id] {
			off = append(off, fmt.Sprint(id))
		}
	}
	for what, ids := range map[string][]string{
		"transfers lost": lost, "transfers applied more than once": twice, "transfers that nobody sent": unknown,
		"transfers altered": altered, "transfers applied after a later one of their key": late,
		"accounts with a wrong balance": off,
	} {
		if len(ids) > 0 {
			slices.Sort(ids)
			wrong = append(wrong, fmt.Sprintf("%d %s: %s", len(ids), what, strings.Join(ids[:min(len(ids), 5)], ", ")))
		}
	}
	if total != bankTotal || len(b.Accounts) != bankAccounts {
		wrong = append(wrong, fmt.Sprintf("the total of %d accounts is %d, not %d", len(b.Accounts), total, bankTotal))
	}
	if b.Parked > 0 {
		wrong = append(wrong, fmt.Sprintf("%d messages parked, though none was at fault", b.Parked))
	}
	slices.Sort(wrong)
	return wrong
}
