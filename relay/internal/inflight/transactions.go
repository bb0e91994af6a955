package inflight

// openTransactions counts, for each transaction of the sink, the rows that are not deleted yet. The sink
// acknowledges a whole transaction before the next one, so the count of the highest number may still grow
// until every record is acknowledged.
type openTransactions struct {
	rows    map[int64]int // transaction → acknowledged rows not deleted
	highest int64
}

// earlierTransaction stands for the transactions of earlier sessions.
const earlierTransaction = -1

func (o *openTransactions) sent(e *Entry) {
	if e.Transaction == 0 {
		return // the sink has no transactions
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

// confirmed returns the highest number up to which no row is left. It is 0 for the transactions of earlier
// sessions, and -1 if rows of these are left. complete says that every delivered record is acknowledged.
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
