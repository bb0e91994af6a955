package doctor

import (
	"fmt"
	"time"
)

// clock compares the database's clock with this host's.
func clock(f *Facts, found *findings) {
	off := f.Ahead.Abs() - f.Uncertainty
	if off <= time.Second {
		return
	}
	way := "ahead of"
	if f.Ahead < 0 {
		way = "behind"
	}
	found.add(Warning, "clock.skew", f.Where, fmt.Sprintf("the database's clock is %s %s this host's (accurate to %s)",
		duration(f.Ahead.Abs()), way, duration(f.Uncertainty)),
		"leases use only the database's clock. But you cannot compare the times of events, logs and records, and the "+
			"wrong clock may jump when it is corrected",
		"timedatectl status")
}
