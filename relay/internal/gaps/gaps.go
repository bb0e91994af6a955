// Package gaps knows which ids below the head of a table may still get a row.
//
// A transaction gets its ids before it commits, and transactions do not commit in the order of their
// ids. A Set has the ids that no read has shown. It forgets an id only when every transaction that could
// insert it has ended, and a later read has not shown its row. The package does no I/O. Nothing in it is
// safe for concurrent use.
package gaps

import (
	"maps"
	"slices"
	"strings"

	store "github.com/postroom/postroom/internal/store/relay"
)

// A gap is a range of ids below the head that no read has shown: their transaction is open, was rolled
// back, or has committed after the read that moved the head past them.
//
// Every read asks for the gaps, for as long as a transaction that could fill them may be open. Only this
// keeps the order of a key whose events commit late: a read then shows a later event of the key together
// with the earlier one, or after it, and never before it (hazard late-commit).
type gap struct {
	store.Range
	// coarse is true for neighbours that were merged. Ids between them have been seen, so the gap may return
	// rows in flight, and it is not split.
	coarse bool
	// proof is what must end before the gap can be forgotten. It is nil until the next probe.
	proof *proof
	// due is true if a writer may have ended since the last read, so that the next read has to look
	// (hazard busy-writer).
	due bool
}

// proof has the transactions that were open when gaps were first seen. When all of them have ended, a
// read that begins afterwards sees whatever they wrote. After such a read the gaps are proved dead: they
// get no row any more.
type proof struct {
	open map[string]store.Writer // by ID
	done bool                    // all have ended
}

// Set holds disjoint gaps in ascending order.
type Set struct {
	gaps []gap
	max  int
	// idle has the open writers at rest, by ID. Without it, a forgotten transaction would keep all later gaps
	// alive.
	idle map[string]idleWriter
}

// idleWriter is a writer that has executed nothing between two probes. So ids that were given out
// meanwhile are not its own (hazard forgotten-writer).
type idleWriter struct {
	mark  string // its Rest
	given int64  // when it was first seen at rest, no higher id had been given out
}

// Reset forgets everything that was seen.
func (s *Set) Reset() { s.gaps, s.idle = nil, nil }

// New returns an empty set. The set is crowded when it has more than most gaps.
func New(most int) Set { return Set{max: most} }

// Merged covers ranges, which ascend, with about most ranges.
func Merged(ranges []store.Range, most int) []store.Range {
	s := New(most)
	for _, r := range ranges {
		last := len(s.gaps) - 1
		if last >= 0 && r.Lo <= s.gaps[last].Hi+1 { // a range of merged gaps holds rows in flight
			s.gaps[last].Hi = max(s.gaps[last].Hi, r.Hi)
			continue
		}
		s.Add(r)
	}
	s.Merge()
	return s.Ranges()
}

// Add adds a gap above all others.
func (s *Set) Add(r store.Range) { s.gaps = append(s.gaps, gap{Range: r}) }

// Len returns the number of gaps.
func (s *Set) Len() int { return len(s.gaps) }

// After returns the ranges that Advance would leave. The set stays as it is.
func (s *Set) After(head, newHead int64, ids []int64) []store.Range {
	after := Set{gaps: slices.Clone(s.gaps)}
	after.Advance(head, newHead, ids, nil)
	return after.Ranges()
}

// Ranges lists the gaps for a read.
func (s *Set) Ranges() []store.Range {
	ranges := make([]store.Range, len(s.gaps))
	for i, g := range s.gaps {
		ranges[i] = g.Range
	}
	return ranges
}

// Asleep lists, for each gap, the only transactions that may fill it. A gap has a list only if all of these
// transactions are known and were open after the last read. While none of them has ended, the gap cannot have
// a row. If the list of a gap is nil, or the whole result is nil, the read has to look.
func (s *Set) Asleep() (asleep [][]uint64) {
	for i, g := range s.gaps {
		numbers := g.proof.numbers()
		if g.due || numbers == nil {
			continue
		}
		if asleep == nil {
			asleep = make([][]uint64, len(s.gaps))
		}
		asleep[i] = numbers
	}
	return asleep
}

// NoteRead notes that a read has looked into all gaps.
func (s *Set) NoteRead() {
	for i := range s.gaps {
		s.gaps[i].due = false
	}
}

// Proven lists the gaps whose writers have all ended. Call it before a read. After the read these gaps may be
// forgotten.
func (s *Set) Proven() map[int64]bool {
	var los map[int64]bool
	for _, g := range s.gaps {
		if g.proof != nil && g.proof.done {
			if los == nil {
				los = make(map[int64]bool)
			}
			los[g.Lo] = true
		}
	}
	return los
}

// Advance updates the set after a read. ids are those that the read returned in gaps or above head, ascending.
// They leave their gaps. The ids between them, up to the new head, become gaps. forget names, by their first
// id, the gaps that the read has proved dead.
func (s *Set) Advance(head, newHead int64, ids []int64, forget map[int64]bool) {
	if len(s.gaps) == 0 && len(ids) == int(newHead-head) {
		return // the usual case: ids without a hole
	}
	next := make([]gap, 0, len(s.gaps)+8)
	rest := ids
	for _, g := range s.gaps {
		n, _ := slices.BinarySearch(rest, g.Hi+1)
		seen := rest[:n]
		rest = rest[n:]
		switch {
		case forget[g.Lo]:
		case g.coarse:
			next = append(next, g)
		default:
			next = appendHoles(next, g, seen)
		}
	}
	if newHead > head {
		next = appendHoles(next, gap{Range: store.Range{Lo: head + 1, Hi: newHead}}, rest)
	}
	s.gaps = next
}

// Coarse reports whether a gap also has ids that were seen, because gaps were merged over them.
func (s *Set) Coarse() bool {
	return slices.ContainsFunc(s.gaps, func(g gap) bool { return g.coarse })
}

// Crowded reports whether there are more gaps than one statement should name.
func (s *Set) Crowded() bool { return len(s.gaps) > s.max }

// appendHoles appends what remains of g without the ids seen in it.
func appendHoles(gaps []gap, g gap, seen []int64) []gap {
	end := g.Hi
	for _, id := range seen {
		if id > g.Lo {
			g.Hi = id - 1
			gaps = append(gaps, g)
		}
		g.Lo = id + 1
	}
	if g.Hi = end; g.Lo <= g.Hi {
		gaps = append(gaps, g)
	}
	return gaps
}

// Merge bounds the number of gaps. It merges neighbours into one range, and forgets nothing. It prefers
//
//  1. gaps that wait for the same writers, or one forgotten writer would soon keep all gaps alive;
//  2. of these the nearest, because the fewest rows lie between them;
//  3. of these the oldest, because they are proved dead first.
//
// The caller calls it after a probe of the writers, so that a merged gap does not wait for another probe
// each time.
func (s *Set) Merge() {
	if !s.Crowded() {
		return
	}
	// Merge down to half of the limit. Otherwise every read would merge again.
	distances := make([]int64, 0, len(s.gaps)-1)
	for i := 1; i < len(s.gaps); i++ {
		distances = append(distances, s.gaps[i-1].distance(s.gaps[i]))
	}
	excess := len(s.gaps) - max(1, s.max/2)
	widest := slices.Sorted(slices.Values(distances))[excess-1]
	merged := s.gaps[:1]
	for i, g := range s.gaps[1:] {
		last := &merged[len(merged)-1]
		if excess > 0 && distances[i] <= widest {
			last.Hi, last.coarse, last.proof, last.due = g.Hi, true, joinProofs(last.proof, g.proof), last.due || g.due
			excess--
			continue
		}
		merged = append(merged, g)
	}
	s.gaps = merged
}

// distance returns how expensive it is to merge a gap with the next one. Gaps that wait for different writers
// come last.
func (g gap) distance(next gap) int64 {
	d := next.Lo - g.Hi
	if g.proof != next.proof {
		d |= 1 << 62
	}
	if g.due || next.due { // a look into the merged gap walks over everything in between
		d |= 1 << 61
	}
	return d
}

// joinProofs returns the proof of a gap that is merged from two. A gap without a proof waits for the next
// probe, and then the merged gap waits for it too: that probe also shows which of the other gap's writers are
// still open.
func joinProofs(a, b *proof) *proof {
	if a == b {
		return a
	}
	if a == nil || b == nil {
		return nil
	}
	if a.done {
		return b
	}
	if b.done {
		return a
	}
	joined := &proof{open: make(map[string]store.Writer, len(a.open)+len(b.open))}
	for _, p := range []*proof{a, b} {
		maps.Copy(joined.open, p.open)
	}
	return joined
}

// Waiting reports whether a probe of the open writers could help.
func (s *Set) Waiting() bool {
	for _, g := range s.gaps {
		if g.proof == nil || !g.proof.done {
			return true
		}
	}
	return false
}

// Observe updates the set after a probe of the open writers that was made after the last read returned.
func (s *Set) Observe(w store.Writers) {
	if !w.Known {
		return
	}
	s.noteIdle(w)
	updated, ended := make(map[*proof]bool), make(map[*proof]bool)
	firsts := make(map[int]*proof) // key: number of writers that were at rest before the gap's ids were given out
	for i := range s.gaps {
		switch p := s.gaps[i].proof; {
		case p == nil:
			open := s.mayFill(s.gaps[i].Lo, w.Open)
			if firsts[len(open)] == nil {
				firsts[len(open)] = newProof(open)
			}
			s.gaps[i].proof, s.gaps[i].due = firsts[len(open)], true
		case !p.done && !updated[p]:
			updated[p] = true
			ended[p] = p.update(w)
		}
		s.gaps[i].due = s.gaps[i].due || ended[s.gaps[i].proof]
	}
	s.unify()
}

// unify lets gaps that wait for the same writers share one proof.
func (s *Set) unify() {
	keys := make(map[*proof]string)
	same := make(map[string]*proof)
	for i := range s.gaps {
		p := s.gaps[i].proof
		key, known := keys[p]
		if !known {
			key = strings.Join(slices.Sorted(maps.Keys(p.open)), "\n")
			keys[p] = key
		}
		if same[key] == nil {
			same[key] = p
		}
		s.gaps[i].proof = same[key]
	}
}

// noteIdle notes the writers at rest, each with the highest id that may have been given out when it was
// first seen at rest.
func (s *Set) noteIdle(w store.Writers) {
	rests := make(map[string]idleWriter)
	for _, writer := range w.Open {
		switch before, ok := s.idle[writer.ID]; {
		case writer.Rest == "":
		case ok && before.mark == writer.Rest:
			rests[writer.ID] = before
		case w.Given > 0:
			rests[writer.ID] = idleWriter{mark: writer.Rest, given: w.Given}
		}
	}
	s.idle = rests
}

// mayFill returns the writers that may have taken id. It leaves out those that were at rest before the id was
// given out. A higher id leaves out more writers. So if it leaves out the same number for two ids, it leaves
// out the same writers.
func (s *Set) mayFill(id int64, open []store.Writer) []store.Writer {
	if len(s.idle) == 0 {
		return open
	}
	return slices.DeleteFunc(slices.Clone(open), func(w store.Writer) bool {
		r, resting := s.idle[w.ID]
		return resting && r.given < id
	})
}

func newProof(open []store.Writer) *proof {
	p := &proof{open: make(map[string]store.Writer, len(open))}
	for _, writer := range open {
		p.open[writer.ID] = writer
	}
	p.done = len(p.open) == 0
	return p
}

// numbers returns the numbers of the open transactions, or nil if not all are known.
func (p *proof) numbers() (numbers []uint64) {
	if p == nil || p.done {
		return nil
	}
	for _, writer := range p.open {
		if writer.Number == 0 {
			return nil
		}
		numbers = append(numbers, writer.Number)
	}
	return numbers
}

// update removes the writers that have ended, and reports whether there were any. A writer that was prepared
// may have another name now. It is replaced by all writers that have such a name.
func (p *proof) update(w store.Writers) (ended bool) {
	still := make(map[string]store.Writer, len(p.open))
	byID := make(map[string]store.Writer, len(w.Open))
	for _, writer := range w.Open {
		byID[writer.ID] = writer
	}
	for id, writer := range p.open {
		if now, open := byID[id]; open {
			still[id] = now
			continue
		}
		ended = true
		for heir, as := range byID {
			if writer.Next != "" && strings.HasPrefix(heir, writer.Next) {
				still[heir] = as
			}
		}
	}
	p.open = still
	p.done = len(still) == 0
	return ended
}
