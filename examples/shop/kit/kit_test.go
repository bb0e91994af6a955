package kit_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"github.com/postroom/postroom/examples/shop/events"
	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// counter is a service with one effect: each accepted POST adds a row.
func counter(t *testing.T, db *kit.DB) http.Handler {
	t.Helper()
	require.NoError(t, db.Exec(t.Context(), kit.IdempotencyTable, "CREATE TABLE effects (name VARCHAR(20))"))
	mux := &kit.Mux{}
	mux.HandleFunc("POST /effects", db.Idempotent(
		func(ctx context.Context, tx *sql.Tx, r *http.Request) (int, any, error) {
			var body struct {
				Name string `json:"name"`
			}
			if err := kit.ReadJSON(r, &body); err != nil {
				return 0, nil, err
			}
			if _, err := tx.ExecContext(ctx, db.Bind("INSERT INTO effects (name) VALUES (?)"), body.Name); err != nil {
				return 0, nil, err
			}
			if body.Name == "refused" {
				return 0, nil, kit.Unprocessable("refused")
			}
			return http.StatusCreated, body, nil
		}))
	return mux
}

func post(h http.Handler, key, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/effects", strings.NewReader(body))
	r.Header.Set("Idempotency-Key", key)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func effects(t *testing.T, db *kit.DB) (n int) {
	t.Helper()
	require.NoError(t, db.SQL.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM effects").Scan(&n))
	return n
}

func TestARequestThatIsSentAgainTakesEffectOnce(t *testing.T) {
	kittest.Each(t, func(t *testing.T, db *kit.DB) {
		h := counter(t, db)
		var answers sync.Map
		var requests sync.WaitGroup
		for i := range 8 { // at the same time
			requests.Go(func() {
				w := post(h, "key", `{"name":"a"}`)
				answers.Store(i, w.Body.String()+http.StatusText(w.Code))
			})
		}
		requests.Wait()
		answers.Range(func(_, answer any) bool {
			require.Equal(t, `{"name":"a"}Created`, answer)
			return true
		})
		require.Equal(t, 1, effects(t, db))

		require.Equal(t, http.StatusUnprocessableEntity, post(h, "key", `{"name":"b"}`).Code)
		require.Equal(t, http.StatusCreated, post(h, "other", `{"name":"b"}`).Code)
		require.Equal(t, 2, effects(t, db))
	})
}

func TestAnswersAreKeptForADay(t *testing.T) {
	kittest.Each(t, func(t *testing.T, db *kit.DB) {
		counter(t, db)
		old := time.Now().Add(-kit.AnswersFor - time.Minute).Unix()
		for key, at := range map[string]int64{"old": old, "young": old + 120} {
			_, err := db.SQL.Exec(db.Bind(`INSERT INTO idempotency_keys
				(idempotency_key, request, status, answer, made_at) VALUES (?, '', 201, '{}', ?)`), key, at)
			require.NoError(t, err)
		}
		h := &kit.Mux{}
		h.HandleFunc("POST /effects", db.Idempotent(func(context.Context, *sql.Tx, *http.Request) (int, any, error) {
			return http.StatusCreated, "done", nil
		}))
		require.Equal(t, http.StatusCreated, post(h, "new", "{}").Code)
		var keys string
		rows, err := db.SQL.Query("SELECT idempotency_key FROM idempotency_keys ORDER BY idempotency_key")
		require.NoError(t, err)
		for rows.Next() {
			var key string
			require.NoError(t, rows.Scan(&key))
			keys += key + " "
		}
		require.NoError(t, rows.Err())
		require.Equal(t, "new young ", keys)
	})
}

func TestAFailedRequestLeavesNeitherEffectNorKey(t *testing.T) {
	kittest.Each(t, func(t *testing.T, db *kit.DB) {
		h := counter(t, db)
		require.Equal(t, http.StatusUnprocessableEntity, post(h, "key", `{"name":"refused"}`).Code)
		require.Equal(t, 0, effects(t, db))
		require.Equal(t, http.StatusCreated, post(h, "key", `{"name":"a"}`).Code)
	})
}

func TestBadRequestsGetProblems(t *testing.T) {
	h := counter(t, kittest.Open(t, kittest.SQLite(t)))
	for name, tc := range map[string]struct {
		key, body string
		status    int
		says      string
	}{
		"no key":           {"", `{}`, http.StatusBadRequest, "Idempotency-Key"},
		"no JSON":          {"k", `{`, http.StatusBadRequest, "unexpected EOF"},
		"an unknown field": {"k", `{"title":"a"}`, http.StatusBadRequest, "title"},
		"two values":       {"k", `{} {}`, http.StatusBadRequest, "there is more"},
		"a large body": {
			"k", `{"name":"` + strings.Repeat("a", kit.MaxBody) + `"}`, http.StatusRequestEntityTooLarge, "65536 bytes",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := post(h, tc.key, tc.body)
			require.Equal(t, tc.status, w.Code)
			require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
			require.Contains(t, w.Body.String(), tc.says)
		})
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/nothing", nil))
	require.Equal(t, http.StatusNotFound, w.Code)
	require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
}

func TestAnUnexpectedErrorIsNotShownToTheClient(t *testing.T) {
	w := httptest.NewRecorder()
	kit.HandlerFunc(func(http.ResponseWriter, *http.Request) error {
		return io.ErrClosedPipe
	}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, http.StatusInternalServerError, w.Code)
	require.NotContains(t, w.Body.String(), io.ErrClosedPipe.Error())
}

func TestTopicsAreMadeOnce(t *testing.T) {
	for name, kafka := range map[string]func(testing.TB) kit.Kafka{
		"in process": kittest.Kafka, "real": kittest.RealKafka,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.NoError(t, kafka(t).CreateTopics(t.Context(), events.KafkaTopics()...))
		})
	}
}

// On PostgreSQL, of two sessions that make a table IF NOT EXISTS at the same time one can fail. Two processes of one
// service start like that.
func TestTwoProcessesMakeTheTablesAtTheSameTime(t *testing.T) {
	t.Parallel()
	url := kittest.PostgreSQL(t)
	var group errgroup.Group
	for range 6 {
		db, err := kit.Connect(t.Context(), url)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		group.Go(func() error {
			for n := range 30 {
				table := fmt.Sprintf("CREATE TABLE IF NOT EXISTS t%d (a INTEGER)", n)
				if err := db.Exec(t.Context(), table); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
}

func TestAPartThatFailsIsRunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		runs := 0
		err := kit.Again(kittest.Quiet(), func(ctx context.Context) error {
			if runs++; runs == 3 {
				stop()
			}
			return errors.New("the broker is down")
		})(ctx)
		require.NoError(t, err)
		require.Equal(t, 3, runs)
	})
}
