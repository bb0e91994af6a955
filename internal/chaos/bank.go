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

// BankMode is a way to consume. Each has a group, a consumer name and a bank of its own,
// and all of them read the same topic.
type BankMode string

// Ways to consume.
const (
	PerMessage BankMode = "message" // a transaction for each message
	PerBatch   BankMode = "batch"   // a transaction for what one fetch brought of one partition
)

func bankModes() []BankMode { return []BankMode{PerMessage, PerBatch} }

func (m BankMode) table(name string) string { return "bank_" + string(m) + "_" + name }

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
// younger messages of its key. Four in ten are, some of them twice.
func copies(seed uint64, n int) (after []int) {
	rng := rand.New(rand.NewPCG(seed^0xc0b1e5, uint64(n)))
	for _, share := range []float64{0.4, 0.1} {
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
	// Ledger has a row for each application of a transfer. Its table has no unique
	// constraint, which would hide a second one.
	Ledger []Transfer
	// Parked counts messages that were set aside; all could be handled.
	Parked int64
}

// CheckBank says what is wrong with a bank after all of the transfers were sent, at least
// once each: nothing may be. It shares no code with package inbox.
func CheckBank(sent []Transfer, b Balances) (wrong []string) {
	expected := make(map[int]int64, bankAccounts)
	for id := range bankAccounts {
		expected[id] = bankOpening
	}
	wanted := make(map[string]Transfer, len(sent))
	for _, t := range sent {
		wanted[t.ID] = t
		expected[t.From] -= t.Amount
		expected[t.To] += t.Amount
	}
	applied := make(map[string]int, len(sent))
	var altered, unknown, twice, lost, off []string
	for _, t := range b.Ledger {
		w, ok := wanted[t.ID]
		switch applied[t.ID]++; {
		case !ok:
			unknown = append(unknown, t.ID)
		case w != t:
			altered = append(altered, t.ID)
		case applied[t.ID] == 2:
			twice = append(twice, t.ID)
		}
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
		"transfers altered": altered, "accounts with a wrong balance": off,
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
