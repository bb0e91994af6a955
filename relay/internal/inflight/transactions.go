package inflight

// openTransactions counts, for each transaction of the sink, the rows that are not
// deleted yet. A transaction is acknowledged as a whole before the next one, so the
// highest may still grow until everything is acknowledged.
type openTransactions struct {
	rows    map[int64]int // transaction → acknowledged rows not deleted
	highest int64
}

// earlierTransaction stands for those of earlier sessions.
const earlierTransaction = -1

func (o *openTransactions) sent(e *Entry) {
	if e.Transaction == 0 {
		return // the sink has none
	}
	if o.rows == nil {
		o.rows = make(map[int64]int)
	}
	o.rows[e.Transaction]++
	o.highest = max(o.highest, e.Transaction)
}

func (o *openTransactions) deleted(gone []*Entry) {
	if o.rows == nil {
		return
	}
	for _, e := range gone {
		if o.rows[e.Transaction]--; o.rows[e.Transaction] <= 0 {
			delete(o.rows, e.Transaction)
		}
	}
}

// confirmed returns the highest number up to which nothing is left, 0 for the transactions
// of earlier sessions, and -1 if something of these is. complete: all that was delivered is
// acknowledged.
func (o *openTransactions) confirmed(complete bool) int64 {
	if o.rows[earlierTransaction] > 0 {
		return -1
	}
	n := o.highest
	if !complete {
		n--
	}
	for open := range o.rows {
		n = min(n, open-1)
	}
	return max(n, 0)
}
