package cli

import (
	"os"
	"runtime/debug"

	"github.com/postroom/postroom/relay"
)

// The relay's live memory is bounded by its windows, and small beside what it
// allocates in passing: a collection each time the heap has doubled from almost nothing
// would be most of its work. So the heap may grow fivefold, up to a limit that keeps
// the process below 128 MB with one source. GOGC and GOMEMLIMIT win.
//
// Many sources share what three would use: rarely do all of them have a backlog at once,
// and then the broker is what they wait for.
const (
	heapGrowth      = 400
	memoryOfProgram = 32 << 20
	memoryOfSource  = 48 << 20
	memoryOfIdle    = 256 << 10 // of each source beyond: its clients of database and broker
	fullWindows     = 3
)

func tuneMemory(sources int) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(heapGrowth)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit(sources))
	}
}

func memoryLimit(sources int) int64 {
	full := min(sources, fullWindows)
	return memoryOfProgram + int64(full)*memoryOfSource + int64(sources-full)*memoryOfIdle
}

// windowOf divides the windows of a few sources between many. With one to three each has
// the relay's default. A window of 1 MiB still holds some thousand small events.
func windowOf(sources int) relay.Window {
	full := relay.DefaultWindow()
	if sources <= fullWindows {
		return full
	}
	share := func(n int) int { return n * fullWindows / sources }
	return relay.Window{
		MaxInFlight:      max(share(full.MaxInFlight), 2000),
		BatchSize:        max(share(full.BatchSize), 500),
		MaxInFlightBytes: max(int64(share(int(full.MaxInFlightBytes))), 1<<20),
	}
}
