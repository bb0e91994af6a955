package kit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// IdempotencyTable makes the table of Idempotent. Each service has its own.
const IdempotencyTable = `CREATE TABLE IF NOT EXISTS idempotency_keys (
	idempotency_key VARCHAR(255) NOT NULL PRIMARY KEY,
	request         CHAR(64)     NOT NULL,
	status          INTEGER      NOT NULL,
	answer          TEXT         NOT NULL,
	made_at         BIGINT       NOT NULL)` // seconds since 1970, to delete old ones by

// AnswersFor is how long an answer is kept for a repeat of its request. Answers may have names in them, and a client
// that has tried for a day has given up.
const AnswersFor = 24 * time.Hour

// Effect does what a request asks for, in tx, and returns the answer.
type Effect func(ctx context.Context, tx *sql.Tx, r *http.Request) (status int, answer any, err error)

// Idempotent makes a request take effect once, however often it is sent with the same Idempotency-Key. A repeat gets
// the answer of the first. A client that got no answer can so send its request again without a second order.
//
// The key, the effect and the answer are one transaction. If the key had a transaction of its own, a crash between the
// two would leave a key without an effect, or an effect without a key. A request that fails leaves no key: it can be
// sent again.
func (d *DB) Idempotent(effect Effect) HandlerFunc {
	columns := []string{"idempotency_key", "request", "status", "answer", "made_at"}
	var pruned atomic.Int64 // when, in seconds since 1970
	return func(w http.ResponseWriter, r *http.Request) error {
		ctx := r.Context()
		key := r.Header.Get("Idempotency-Key")
		if key == "" || len(key) > 255 {
			return BadRequest("the header Idempotency-Key must have 1 to 255 bytes")
		}
		request, err := fingerprint(r)
		if err != nil {
			return err
		}
		now := time.Now().Unix()
		if before := pruned.Load(); now-before >= 3600 && pruned.CompareAndSwap(before, now) { // once an hour
			if _, err := d.SQL.ExecContext(ctx, d.Bind("DELETE FROM idempotency_keys WHERE made_at < ?"),
				now-int64(AnswersFor.Seconds())); err != nil {
				return err
			}
		}
		var status int
		var answer []byte
		err = d.Tx(ctx, func(tx *sql.Tx) error {
			// The second of two requests at the same time waits here for the first.
			fresh, err := d.InsertNew(ctx, tx, "idempotency_keys", columns, key, request, 0, "", now)
			if err != nil {
				return err
			}
			if !fresh {
				status, answer, err = d.firstAnswer(ctx, tx, key, request)
				return err
			}
			var value any
			if status, value, err = effect(ctx, tx, r); err != nil {
				return err
			}
			if answer, err = json.Marshal(value); err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, d.Bind(
				"UPDATE idempotency_keys SET status = ?, answer = ? WHERE idempotency_key = ?",
			), status, string(answer), key)
			return err
		})
		if err != nil {
			return err
		}
		return WriteJSON(w, status, json.RawMessage(answer))
	}
}

func (d *DB) firstAnswer(ctx context.Context, tx *sql.Tx, key, request string) (status int, answer []byte, err error) {
	var of string
	err = tx.QueryRowContext(ctx, d.Bind(
		"SELECT request, status, answer FROM idempotency_keys WHERE idempotency_key = ?",
	), key).Scan(&of, &status, &answer)
	switch {
	case err == nil && of != request:
		err = Unprocessable("this Idempotency-Key was used for another request")
	case err == nil && status == http.StatusGone:
		err = Gone("what this request made was erased")
	}
	return status, answer, err
}

// ForgetAnswers are the statement and its arguments that empty all answers with a text in them, such as the id of a
// customer who is erased. The keys stay: a repeat does not make the customer again, and is answered with 410.
func ForgetAnswers(text string) (statement string, args []any) {
	return "UPDATE idempotency_keys SET status = ?, answer = '' WHERE answer LIKE ?",
		[]any{http.StatusGone, "%" + text + "%"}
}

// fingerprint is a hash of method, path and body. The body can be read again after it.
func fingerprint(r *http.Request) (string, error) {
	var body json.RawMessage
	if err := ReadJSON(r, &body); err != nil {
		return "", err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	hash := sha256.Sum256([]byte(r.Method + " " + r.URL.Path + "\n" + string(body)))
	return hex.EncodeToString(hash[:]), nil
}
