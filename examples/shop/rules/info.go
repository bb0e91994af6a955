package rules

// Info says what a rule is for, in words for a reader.
type Info struct {
	Rule     Rule
	Title    string
	Sentence string   // what the rule says
	Protects []string // rows of package invariants that turn false without the rule: the first, often the others
	Without  string   // what happens without it
	Repair   string   // what makes the rows true again once the rule is on: see World.Repair
	Page     string   // the pattern's page, from the root of the repository
}

// Infos are the rules with what they are for, in the order of All.
func Infos() []Info {
	return []Info{
		{
			Rule:     Outbox,
			Title:    "Outbox in the transaction",
			Sentence: "The transaction that changes a customer also writes the event that tells of the change.",
			Protects: []string{"replica"},
			Without: "Customers commits first and sends the event to Kafka then. When the process dies between the " +
				"two, orders and the gateway never hear of the change.",
			Repair: "Customers sends the customers again whose copies are wrong. Their versions tell the copies what " +
				"is new.",
			Page: "docs/patterns/synchronisation.md",
		},
		{
			Rule:     Inbox,
			Title:    "Inbox",
			Sentence: "The transaction that writes an e-mail also notes the id of its message.",
			Protects: []string{"e-mails"},
			Without:  "RabbitMQ delivers a message again if no acknowledgement came. The customer gets two e-mails.",
			Repair: "The second copies are deleted from the table, and the inbox gets the ids that it lacks. An " +
				"e-mail that was really sent cannot be taken back: only the rule prevents it.",
			Page: "docs/patterns/synchronisation.md",
		},
		{
			Rule:     KeyOrder,
			Title:    "Order of a key",
			Sentence: "The events of one order arrive in the order in which they were written.",
			Protects: []string{"read models", "parked"},
			Without: "An order is confirmed before it is placed. The gateway knows a later version then, ignores the " +
				"event that placed the order, and never learns what was ordered. The list of orders parks the event.",
			Repair: "The read models forget the orders that are wrong, and orders sends the events of those orders " +
				"again. The streams of events are the truth, so nothing is lost.",
			Page: "docs/patterns/event-sourcing.md",
		},
		{
			Rule:     VersionGate,
			Title:    "Version gate",
			Sentence: "The cache neither stores nor gives away what is older than the last event.",
			Protects: []string{"caches"},
			Without: "A write deletes the cached answer, and a reader that had read before the write stores the old " +
				"answer afterwards. It stays until it expires.",
			Repair: "The cache is emptied. It fills itself from the read model.",
			Page:   "docs/patterns/caching.md",
		},
		{
			Rule:     Compensation,
			Title:    "Compensation",
			Sentence: "An order that is cancelled gives back all that it has taken.",
			Protects: []string{"paid and reserved"},
			Without:  "An order whose payment was rejected is cancelled, and its articles stay set aside for ever.",
			Repair: "Orders sends the command to release the stock again, for each cancelled order that still has " +
				"some. A copy of the command changes nothing.",
			Page: "docs/patterns/sagas.md",
		},
	}
}
