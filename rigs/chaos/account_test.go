package chaos

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/history"
)

// accountOf returns an account with one transaction of one event for each outcome, numbered from 0.
func accountOf(outcomes ...outcome) *account {
	a := &account{}
	version := int64(0)
	for number, o := range outcomes {
		if o != rolledBack {
			version++
		}
		a.note(written{
			transactionName: transactionName{writer: 1, number: number},
			events: []history.Event{
				{ID: uuid.UUID{byte(number)}, Topic: "orders", Key: "k", Version: version},
			},
			outcome: o,
		})
	}
	return a
}

func ledgerOf(numbers ...int) map[transactionName]bool {
	found := map[transactionName]bool{}
	for _, n := range numbers {
		found[transactionName{writer: 1, number: n}] = true
	}
	return found
}

func TestTheLedgerDecidesWhatBecameOfUnknownTransactions(t *testing.T) {
	events, sum, err := accountOf(committed, unknown, rolledBack, unknown).settle(ledgerOf(0, 1))
	require.NoError(t, err)
	require.Len(t, events, 2)
	require.Equal(t, Account{Transactions: 2, Events: 2, RolledBack: 1, Unknown: 2, Found: 1}, sum)
}

func TestAnAccountThatCannotBeRightIsNotJudgedBy(t *testing.T) {
	for name, test := range map[string]struct {
		account *account
		ledger  map[transactionName]bool
		says    string
	}{
		"a commit that did not last":    {accountOf(committed), ledgerOf(), "did not last"},
		"a rollback that is there":      {accountOf(rolledBack), ledgerOf(0), "was not committed"},
		"a transaction nobody knows of": {accountOf(committed), ledgerOf(0, 1), "the writers know of 1"},
		"a version that is missing":     {accountOf(unknown, committed), ledgerOf(1), "not serialised"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := test.account.settle(test.ledger)
			require.ErrorContains(t, err, test.says)
		})
	}
}
