package relaykafka

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

const (
	// transactionTimeout is after how long the broker aborts a transaction that its
	// producer has left open, and consumers have to wait for it.
	transactionTimeout = 10 * time.Second

	// commitTimeout bounds the wait for the answer to a commit. Without one, the next
	// session finds out what became of it (hazard lost-commit-answer).
	commitTimeout = 10 * time.Second

	// abortTimeout bounds what a session that failed, or is closed, does about its open
	// transaction. It is no more than a courtesy to consumers: nobody commits it any
	// more, and the next session aborts it too.
	abortTimeout = 2 * time.Second

	// openTimeout bounds the opening of a session, and the wait for the next manifests.
	openTimeout = 15 * time.Second
)

var (
	errTimedOut = fmt.Errorf("the transaction was not through after %s", transactionTimeout)
	errNoAnswer = fmt.Errorf(
		"kafka has not answered to the commit for %s; the next session asks what became of it", commitTimeout,
	)
	errOpening     = fmt.Errorf("it took longer than %s", openTimeout)
	errNoManifests = fmt.Errorf("nothing has come for %s: is the broker reachable, or has a program that is not the "+
		"relay a transaction open in this topic?", openTimeout)
	errTorn = errors.New(
		"the producer was given a new epoch in mid-transaction, for which the broker drops a part of it",
	)
)

func isFenced(err error) bool {
	return errors.Is(err, kerr.InvalidProducerEpoch) || errors.Is(err, kerr.ProducerFenced)
}

// isRefusal tells whether the broker would answer so again, for the same record.
func isRefusal(err error) bool {
	_, ok := refused(err)
	return ok
}
