package relaykafka

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/postroom/postroom/relay"
)

// manifest is the content of one record of a manifest topic. It says which rows are in this transaction. If
// the manifest of a transaction would be larger than a record may be, the transaction has several manifests.
// Each of them can be read without the others.
//
// On the wire, all integers as varints of encoding/binary:
//
//	"PM"  version 1 (one byte)
//	source id (16 bytes)  owner (16 bytes)  epoch  transaction number
//	count  row ids: the first, then each one's distance to the one before
//	event ids (16 bytes each)
//
// The event id is needed because a row id is not enough: after a restore of the database the row id may
// belong to another event (hazard replayed-event).
type manifest struct {
	Source, Owner      uuid.UUID // the source whose rows they are, and the claim of the lease
	Epoch, Transaction int64
	Rows               []relay.Sent
}

const (
	manifestMagic   = "PM"
	manifestVersion = 1

	// These are upper bounds of what the codec writes.
	manifestHeader = len(manifestMagic) + 1 + 2*uuidBytes + 3*binary.MaxVarintLen64
	manifestRow    = binary.MaxVarintLen64 + uuidBytes
	uuidBytes      = 16

	// maxManifest bounds a record's value, even if the topic has a larger limit.
	maxManifest = 1 << 20
)

// append appends the encoded manifest to dst.
func (m *manifest) append(dst []byte) []byte {
	dst = append(dst, manifestMagic...)
	dst = append(dst, manifestVersion)
	dst = append(dst, m.Source[:]...)
	dst = append(dst, m.Owner[:]...)
	dst = binary.AppendVarint(dst, m.Epoch)
	dst = binary.AppendVarint(dst, m.Transaction)
	dst = binary.AppendUvarint(dst, uint64(len(m.Rows)))
	last := int64(0)
	for i := range m.Rows {
		// The distance may overflow int64. The addition in decodeManifest overflows back.
		dst = binary.AppendVarint(dst, m.Rows[i].ID-last)
		last = m.Rows[i].ID
	}
	for i := range m.Rows {
		dst = append(dst, m.Rows[i].EventID[:]...)
	}
	return dst
}

// split encodes the manifest as records of at most limit bytes each.
func (m *manifest) split(limit int) [][]byte {
	most := max((limit-manifestHeader)/manifestRow, 1)
	part := *m
	values := make([][]byte, 0, len(m.Rows)/most+1)
	for rows := m.Rows; len(rows) > 0; rows = rows[len(part.Rows):] {
		part.Rows = rows[:min(most, len(rows))]
		values = append(values, part.append(make([]byte, 0, manifestHeader+len(part.Rows)*(uuidBytes+2))))
	}
	return values
}

var errManifestShort = errors.New("it ends too early")

// decodeManifest decodes what append has written. The result does not refer to value.
func decodeManifest(value []byte) (*manifest, error) {
	in := manifestReader{rest: value}
	if magic := in.take(len(manifestMagic)); string(magic) != manifestMagic {
		return nil, errors.New("it is not a manifest of Postroom's")
	}
	if version := in.take(1); in.err == nil && version[0] != manifestVersion {
		return nil, fmt.Errorf("it has version %d, and this binary reads version %d", version[0], manifestVersion)
	}
	m := &manifest{Source: in.uuid(), Owner: in.uuid(), Epoch: in.varint(), Transaction: in.varint()}
	count := in.uvarint()
	if in.err == nil && count > uint64(len(in.rest)/(1+uuidBytes)) {
		in.err = errManifestShort // checked before the number, which may be anything, sets the size of a slice
	}
	if in.err != nil {
		return nil, in.err
	}
	m.Rows = make([]relay.Sent, count)
	last := int64(0)
	for i := range m.Rows {
		last += in.varint()
		m.Rows[i].ID = last
	}
	for i := range m.Rows {
		m.Rows[i].EventID = in.uuid()
	}
	if in.err == nil && len(in.rest) > 0 {
		in.err = fmt.Errorf("%d bytes follow its end", len(in.rest))
	}
	return m, in.err
}

// manifestReader takes values off a slice, and keeps the first error.
type manifestReader struct {
	rest []byte
	err  error
}

func (in *manifestReader) take(n int) []byte {
	if in.err != nil || len(in.rest) < n {
		in.fail(errManifestShort)
		return nil
	}
	taken := in.rest[:n]
	in.rest = in.rest[n:]
	return taken
}

func (in *manifestReader) uuid() (id uuid.UUID) {
	copy(id[:], in.take(len(id)))
	return id
}

func (in *manifestReader) varint() int64 {
	value, n := binary.Varint(in.rest)
	in.skip(n)
	return value
}

func (in *manifestReader) uvarint() uint64 {
	value, n := binary.Uvarint(in.rest)
	in.skip(n)
	return value
}

func (in *manifestReader) skip(n int) {
	if n <= 0 {
		in.fail(errManifestShort)
		return
	}
	in.rest = in.rest[n:]
}

func (in *manifestReader) fail(err error) {
	if in.err == nil {
		in.err = err
	}
	in.rest = nil
}
