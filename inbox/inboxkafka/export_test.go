package inboxkafka

import "time"

// WithUnknownAfter has a topic that the brokers do not know count as deleted sooner.
func WithUnknownAfter(c Config, d time.Duration) Config {
	c.unknownAfter = d
	return c
}

// WithTrialPause has a handler that fails for nearly everything tried sooner.
func WithTrialPause(c Config, d time.Duration) Config {
	c.trialPause = d
	return c
}
