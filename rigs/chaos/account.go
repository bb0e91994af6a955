package chaos

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/postroom/postroom/internal/history"
)

// account is what the writers did, kept outside the database under test. It is safe for
// many goroutines.
type account struct {
	committedEvents atomic.Int64 // of transactions known to have committed

	mu           sync.Mutex
	transactions []written
	troubled     int // transactions that failed before they were committed
}

// transactionName is a row of the ledger.
type transactionName struct{ writer, number int }

// written is a transaction that came as far as its end.
type written struct {
	transactionName
	events  []history.Event
	outcome outcome
}

// outcome of a transaction.
type outcome int

const (
	rolledBack outcome = iota // or failed before COMMIT was sent
	committed
	unknown // the answer to COMMIT was lost
)

func (a *account) note(w written) {
	if w.outcome == committed {
		a.committedEvents.Add(int64(len(w.events)))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.transactions = append(a.transactions, w)
}

func (a *account) noteTrouble() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.troubled++
}

// Account sums up what the writers did.
type Account struct {
	Transactions int `json:"transactions"` // that committed
	Events       int `json:"events"`       // in them
	RolledBack   int `json:"rolled_back"`  // transactions, on purpose
	// Unknown transactions had their connection cut at COMMIT; Found of them are in the
	// ledger: they committed.
	Unknown int `json:"unknown"`
	Found   int `json:"unknown_committed"`
	Cut     int `json:"cut"` // transactions that lost their connection before
}

// settle decides by the ledger what became of the unknown, and returns all events that
// were committed. It fails where the account itself cannot be right: then nothing was
// proved, whatever the relay did.
func (a *account) settle(ledger map[transactionName]bool) (events []history.Event, sum Account, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	sum.Cut = a.troubled
	for _, w := range a.transactions {
		there := ledger[w.transactionName]
		switch {
		case w.outcome == committed && !there:
			return nil, sum, fmt.Errorf(
				"writer %d was told that its transaction %d has committed, and the database does not have it: a "+
					"commit did not last",
				w.writer, w.number,
			)
		case w.outcome == rolledBack && there:
			return nil, sum, fmt.Errorf(
				"transaction %d of writer %d was not committed, and the database has it: the account is wrong",
				w.number, w.writer,
			)
		case w.outcome == rolledBack:
			sum.RolledBack++
		case w.outcome == unknown:
			sum.Unknown++
			if there {
				sum.Found++
			}
		}
		if there {
			sum.Transactions++
			sum.Events += len(w.events)
			events = append(events, w.events...)
		}
	}
	sum.RolledBack -= sum.Cut
	if sum.Transactions != len(ledger) {
		return nil, sum, fmt.Errorf(
			"the ledger has %d transactions, the writers know of %d", len(ledger), sum.Transactions,
		)
	}
	return events, sum, gapless(events)
}

// gapless checks that the versions of each key are 1, 2, 3 and so on, each once.
func gapless(events []history.Event) error {
	versions := make(map[history.Key][]int64)
	for _, e := range events {
		if e.Key != "" {
			key := history.Key{Topic: e.Topic, Name: e.Key}
			versions[key] = append(versions[key], e.Version)
		}
	}
	for key, list := range versions {
		slices.Sort(list)
		for i, version := range list {
			if version != int64(i)+1 {
				return fmt.Errorf(
					"key %s of topic %s has committed versions %v: the writers of the key were not serialised, so no "+
						"order can be asked for",
					key.Name, key.Topic, list,
				)
			}
		}
	}
	return nil
}

// body is a payload.
type body struct {
	Key         string `json:"key"`
	Version     int64  `json:"version"`
	Writer      int    `json:"writer"`
	Transaction int    `json:"transaction"`
	Padding     string `json:"padding"`
}

func (b body) encode() []byte { return mustJSON(b) }

func headerJSON(headers map[string]string) string { return string(mustJSON(headers)) }

// mustJSON encodes what has no reason to fail: structs and maps of strings and numbers.
func mustJSON(v any) []byte {
	encoded, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return encoded
}
