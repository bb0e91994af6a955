package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// The consumers' bank has accounts, each with the same balance at first.
const (
	bankAccounts = 1000
	bankOpening  = int64(1_000_000)
	bankTotal    = bankAccounts * bankOpening
)

// BankMode is a way to consume. Each mode has a consumer group, a consumer name and a bank of its own.
type BankMode string

// The modes are those of package inboxkafka, one of them twice.
const (
	PerMessage BankMode = "message" // a transaction for each message
	PerBatch   BankMode = "batch"   // a transaction for a batch of a partition's messages
	// Offsets keeps the group's position in the database, and a row for each message's id, because the topic
	// has copies at offsets of their own.
	Offsets BankMode = "offsets"
	// OffsetsAlone has no such rows. Its topic has no copies, and is declared exactly-once.
	OffsetsAlone BankMode = "offsets-alone"
)

func bankModes() []BankMode { return []BankMode{PerMessage, PerBatch, Offsets, OffsetsAlone} }

func (m BankMode) table(name string) string {
	return "bank_" + strings.ReplaceAll(string(m), "-", "_") + "_" + name
}

func (m BankMode) consumer() string { return "bank-" + string(m) }

// inDatabase reports whether the group's position is in the same database as the data.
func (m BankMode) inDatabase() bool { return m == Offsets || m == OffsetsAlone }

// topic returns the topic that the mode reads: the run's topic with copies, or its topic without.
func (m BankMode) topic(of string) string {
	if m == OffsetsAlone {
		return of + "-once"
	}
	return of
}

// Transfer moves an amount from one account to another. The key of its message is the number of the account
// From.
type Transfer struct {
	ID     string `json:"id"`
	From   int    `json:"from"`
	To     int    `json:"to"`
	Amount int64  `json:"amount"`
}

// transfer returns the n-th transfer of a seed. Only the seed and n decide it.
func transfer(seed uint64, n int) Transfer {
	rng := rand.New(rand.NewPCG(seed, uint64(n)))
	t := Transfer{ID: fmt.Sprintf("transfer-%d-%d", seed, n), From: rng.IntN(bankAccounts), Amount: 1 + rng.Int64N(100)}
	t.To = (t.From + 1 + rng.IntN(bankAccounts-1)) % bankAccounts
	return t
}

// copies returns after how many messages the n-th transfer is sent again. A relay sends a record again if it
// does not know that the record has arrived: at once with its neighbours, or long after later messages of its
// key. Every second transfer is sent again, some of them twice. So three in eight of all messages are copies.
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

// Balances is the content of one bank's database at the end.
type Balances struct {
	Accounts map[int]int64
	// Ledger has a row for each application of a transfer, in the order in which the rows were written. Its
	// table has no unique constraint, because that would hide a second application.
	Ledger []Transfer
	// Parked counts parked messages. It should be 0, because every message can be handled.
	Parked int64
}

// CheckBank returns the faults of a bank, after all transfers were sent at least once, the first copies in
// this order. A correct bank has none. CheckBank shares no code with package inbox.
func CheckBank(sent []Transfer, b Balances) (wrong []string) {
	expected := make(map[int]int64, bankAccounts)
	for id := range bankAccounts {
		expected[id] = bankOpening
	}
	wanted := make(map[string]int, len(sent)) // transfer → its place in sent
	for n, t := range sent {
		wanted[t.ID] = n
		expected[t.From] -= t.Amount
		expected[t.To] += t.Amount
	}
	applied := make(map[string]int, len(sent))
	latest := make(map[int]int) // key → 1 + the place in sent of its last applied transfer
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
