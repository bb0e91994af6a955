package dialect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// keptHint is nil if the hints have nothing there.
func keptHint(text sql.NullString) []byte {
	if !text.Valid || text.String == "null" {
		return nil
	}
	return []byte(text.String)
}

// hint is the expression of an object in the hints.
func hint(n Names, name string) string {
	return fmt.Sprintf(map[Dialect]string{
		PostgreSQL: "hints->'%s'", MySQL: "JSON_EXTRACT(hints, '$.%s')", SQLite: "json_extract(hints, '$.%s')",
	}[n.Dialect], name)
}

// Proved returns what SetProved kept; nil: nothing, or another owner has the lease, or
// another server answers than the one that granted it.
func (r *Relay) Proved(ctx context.Context, l Lease) ([]byte, error) {
	var kept sql.NullString
	err := r.leaseDB.QueryRowContext(ctx, r.names.Expand("SELECT "+hint(r.names, "proved")+" FROM {outbox_leases}"+ofLease(r.names, 1)),
		l.Owner.String(), l.Epoch, l.Server).Scan(&kept)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return keptHint(kept), err
}

// SetProved keeps in the hints which ids no start has to ask for: a JSON object whose
// meaning is the relay's. It does nothing where another owner has the lease, or another
// server answers than the one that granted it: of the ids there it is not true.
func (r *Relay) SetProved(ctx context.Context, l Lease, proved []byte) error {
	set := map[Dialect]string{
		PostgreSQL: "jsonb_set(hints, ARRAY['proved'], $1::text::jsonb)",
		MySQL:      "JSON_SET(hints, '$.proved', JSON_EXTRACT(?, '$'))",
		SQLite:     "json_set(hints, '$.proved', json(?))",
	}[r.names.Dialect]
	q := "UPDATE {outbox_leases} SET hints = " + set + ofLease(r.names, 2)
	_, err := r.leaseDB.ExecContext(ctx, r.names.Expand(q), string(proved), l.Owner.String(), l.Epoch, l.Server)
	return err
}

// ofLease finds the lease row only while a lease holds, by its owner, epoch and server, from
// the i-th argument on. An UPDATE locks the row and looks at what is there then
// (hazard stale-fence).
func ofLease(n Names, i int) string {
	return " WHERE id = 1 AND owner = " + n.Param(i) + " AND epoch = " + n.Param(i+1) + " AND " + n.Param(i+2) + " = " + serverOf(n)
}
