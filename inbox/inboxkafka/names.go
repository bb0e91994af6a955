package inboxkafka

import (
	"fmt"
	"sync"

	"github.com/postroom/postroom/inbox"
)

// names knows which consumers run in this process, with which tables. It has to be one
// for the process: the mistake that it finds is made in two places that do not know of
// one another.
var names = struct {
	sync.Mutex
	tables map[string]string // by consumer
	count  map[string]int
}{tables: make(map[string]string), count: make(map[string]int)}

// claimName refuses a consumer name that runs with other tables: half of its messages
// would be done here, and half there.
func claimName(ib *inbox.Inbox) (release func(), err error) {
	name, tables := ib.Consumer(), ib.Tables()
	names.Lock()
	defer names.Unlock()
	if other, ok := names.tables[name]; ok && other != tables {
		return nil, fmt.Errorf("inboxkafka: consumer %q runs in this process with the tables %s, and this one has %s: two handlers need two names", name, other, tables)
	}
	names.tables[name] = tables
	names.count[name]++
	return func() {
		names.Lock()
		defer names.Unlock()
		if names.count[name]--; names.count[name] == 0 {
			delete(names.tables, name)
			delete(names.count, name)
		}
	}, nil
}
