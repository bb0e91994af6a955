package doctor

import (
	"fmt"
	"time"
)

// clock compares the database's clock with the host's.
func clock(f *Facts, found *findings) {
	off := f.Ahead.Abs() - f.Uncertainty
	if off <= time.Second {
		return
	}
	way := "ahead of"
	if f.Ahead < 0 {
		way = "behind"
	}
	found.add(Warning, "clock.skew", f.Where, fmt.Sprintf("the database's clock is %s %s this host's (give or take %s)", duration(f.Ahead.Abs()), way, duration(f.Uncertainty)),
		"leases go by the database's clock alone; but ages and times of events, logs and records do not compare, and whichever clock is wrong may jump when it is set right",
		"timedatectl status")
}
