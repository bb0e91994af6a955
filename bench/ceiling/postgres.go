package main

import (
	"context"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

func openTable(ctx context.Context, url string) (table, error) {
	if strings.HasPrefix(url, "postgres") {
		return openPostgres(ctx, url)
	}
	return openMariaDB(ctx, url)
}

// postgres reads and deletes on a connection each.
type postgres struct{ reader, remover *pgx.Conn }

const (
	postgresRead = `SELECT id, event_id, topic, event_key, event_type, payload, headers, created_at
FROM outbox_events WHERE id > $1::bigint ORDER BY id LIMIT $2::bigint`
	postgresRemove = `DELETE FROM outbox_events WHERE id BETWEEN $1 AND $2`
)

func openPostgres(ctx context.Context, url string) (table, error) {
	reader, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	remover, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, errors.Join(err, reader.Close(ctx))
	}
	p := &postgres{reader: reader, remover: remover}
	if _, err := reader.Prepare(ctx, "read", postgresRead); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

const emptyObject = "\x01{}" // jsonb on the wire: a version, then text

// read takes the values as the wire has them: pgx's scanning would cost more than the
// rest of this program.
func (p *postgres) read(ctx context.Context, after int64, limit int, b *batch) error {
	args := [][]byte{strconv.AppendInt(nil, after, 10), strconv.AppendInt(nil, int64(limit), 10)}
	const binaryFormat = 1
	result := p.reader.PgConn().ExecPrepared(ctx, "read", args, nil, []int16{binaryFormat})
	for result.NextRow() {
		v := result.Values()
		if string(v[6]) != emptyObject {
			_, err := result.Close()
			return errors.Join(errors.New("a row has headers of its own, which this program does not send"), err)
		}
		const since2000 = 946_684_800_000_000
		r := row{
			id: int64(binary.BigEndian.Uint64(v[0])), topic: v[2], key: v[3], typ: v[4], payload: v[5],
			created: int64(binary.BigEndian.Uint64(v[7])) + since2000,
		}
		copy(r.eventID[:], v[1])
		b.add(r)
	}
	_, err := result.Close()
	return err
}

func (p *postgres) remove(ctx context.Context, lo, hi int64) error {
	tag, err := p.remover.Exec(ctx, postgresRemove, lo, hi)
	if err == nil && tag.RowsAffected() == 0 {
		err = errors.New("no row was there")
	}
	return err
}

func (p *postgres) close() {
	// The connections end with the process; a goodbye to the server is all that this is.
	_ = p.reader.Close(context.Background())
	_ = p.remover.Close(context.Background())
}
