package inboxkafka

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// reachEvery is how often brokers and topics are looked for until all are there, or the group has given us something.
const reachEvery = 5 * time.Second

// watchReach says what a consumer waits for that has just begun. franz-go asks for a broker that does not answer, and
// for a topic that does not exist, for ever and in silence, and a consumer with a spelling mistake in either would
// look healthy.
func (m *member) watchReach() {
	for told := ""; ; {
		wrong := m.unreached()
		if m.ctx.Err() != nil {
			return
		}
		switch {
		case wrong != "" && wrong != told:
			m.log.Warn("inboxkafka: waiting: "+wrong, "brokers", strings.Join(m.cfg.Brokers, ","))
		case wrong == "" && told != "":
			m.log.Info("inboxkafka: brokers and topics are there")
		}
		if told = wrong; told == "" {
			return // later outages are told by what they stop
		}
		select {
		case <-m.ctx.Done():
			return
		case <-time.After(reachEvery):
		}
	}
}

// unreached says what is not there; empty: everything is.
func (m *member) unreached() string {
	ctx, cancel := context.WithTimeout(m.ctx, reachEvery)
	defer cancel()
	topics, err := kadm.NewClient(m.client).ListTopics(ctx, m.cfg.Topics...)
	if err != nil {
		return "no broker answers: are they up, and are the addresses right?"
	}
	var missing []string
	for _, topic := range m.cfg.Topics {
		if !topics.Has(topic) {
			missing = append(missing, topic)
		}
	}
	if len(missing) == 0 {
		return ""
	}
	slices.Sort(missing)
	return fmt.Sprintf("topics %q do not exist, or this user may not see them; they are consumed as soon as they are there", missing)
}
