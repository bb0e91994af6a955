package cli

import (
	"os"
	"runtime/debug"
)

// The relay's live memory is bounded by its windows, and small beside what it
// allocates in passing: a collection each time the heap has doubled from almost nothing
// would be most of its work. So the heap may grow fivefold, up to a limit that keeps
// the process below 128 MB with one source. GOGC and GOMEMLIMIT win.
const (
	heapGrowth      = 400
	memoryOfProgram = 32 << 20
	memoryOfSource  = 48 << 20
)

func tuneMemory(sources int) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(heapGrowth)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryOfProgram + int64(sources)*memoryOfSource)
	}
}
