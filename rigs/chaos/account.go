package chaos

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/postroom/postroom/internal/history"
)

// account records what the writers did, outside the database under test. It is safe for many goroutines.
type account struct {
	committedEvents atomic.Int64 // events of transactions that are known to have committed

	mu           sync.Mutex
	transactions []written
	troubled     int // transactions that failed before they were committed
}

// transactionName identifies a row of the ledger.
type transactionName struct{ writer, number int }

// written is a transaction that reached its COMMIT or ROLLBACK.
type written struct {
	transactionName
	events  []history.Event
	outcome outcome
}

// outcome is the outcome of a transaction.
type outcome int

const (
	rolledBack outcome = iota // or it failed before COMMIT was sent
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

// Account summarises what the writers did.
type Account struct {
	Transactions int `json:"transactions"` // committed transactions
	Events       int `json:"events"`       // events of these transactions
	RolledBack   int `json:"rolled_back"`  // transactions that were rolled back on purpose
	// Unknown transactions lost their connection at COMMIT. Found of them are in the ledger, so they
	// committed.
	Unknown int `json:"unknown"`
	Found   int `json:"unknown_committed"`
	Cut     int `json:"cut"` // transactions that lost their connection before COMMIT
}

// settle uses the ledger to find out what became of the unknown transactions, and returns all committed
// events. It fails if the account itself cannot be right: then the run has proved nothing, whatever the relay
// did.
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

// gapless checks that each key has the versions 1, 2, 3 and so on, each once.
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

// body is the payload of an event.
type body struct {
	Key         string `json:"key"`
	Version     int64  `json:"version"`
	Writer      int    `json:"writer"`
	Transaction int    `json:"transaction"`
	Padding     string `json:"padding"`
}

func (b body) encode() []byte { return mustJSON(b) }

func headerJSON(headers map[string]string) string { return string(mustJSON(headers)) }

// mustJSON encodes values that cannot fail: structs and maps of strings and numbers.
func mustJSON(v any) []byte {
	encoded, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return encoded
}
