package inboxkafka

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// With franz-go's default a resumed partition waits 5 s for the fetch of idle ones.
func TestAFetchWaitsBrieflyAtTheBrokerUnlessOptionsSayOtherwise(t *testing.T) {
	for name, c := range map[string]struct {
		options []kgo.Opt
		want    time.Duration
	}{
		"by default":          {nil, fetchWait},
		"as the options have": {[]kgo.Opt{kgo.FetchMaxWait(time.Second)}, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Brokers: []string{"127.0.0.1:1"}, Group: "g", Topics: []string{"t"}, Options: c.options}.withDefaults()
			m := (&Consumer{cfg: cfg, log: cfg.Logger}).newMember(t.Context(), nil, nil)
			require.NoError(t, m.connect())
			defer m.client.CloseAllowingRebalance()
			defer m.cancel()
			require.Equal(t, c.want, m.client.OptValue(kgo.FetchMaxWait))
		})
	}
}
