package relaykafka

import "time"

// WithTransactionTimeout returns cfg with another time limit for transactions.
func WithTransactionTimeout(cfg Config, d time.Duration) Config {
	cfg.transactionTimeout = d
	return cfg
}

// WithOutageAfter returns cfg with another time after which an outage is reported.
func WithOutageAfter(cfg Config, d time.Duration) Config {
	cfg.outageAfter = d
	return cfg
}

// WithOpenTimeout returns cfg with another time limit for opening, and for the next manifests.
func WithOpenTimeout(cfg Config, d time.Duration) Config {
	cfg.openTimeout = d
	return cfg
}
