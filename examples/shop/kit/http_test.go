package kit_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/examples/shop/kit"
	"github.com/postroom/postroom/examples/shop/kit/kittest"
)

// serve serves h at a free port of an address, and returns the port.
func serve(t *testing.T, address string, h http.Handler) string {
	t.Helper()
	listener, err := net.Listen("tcp", address+":0")
	require.NoError(t, err)
	kittest.Run(t, func(ctx context.Context) error { return kit.Serve(ctx, listener, h) })
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	return port
}

func TestAPageOfAnotherSiteIsRejected(t *testing.T) {
	done := 0
	mux := &kit.Mux{}
	mux.HandleFunc("/do", func(w http.ResponseWriter, _ *http.Request) error {
		done++
		return kit.WriteJSON(w, http.StatusOK, "done")
	})
	here, everywhere := serve(t, "127.0.0.1", mux), serve(t, "0.0.0.0", mux)
	for name, tc := range map[string]struct {
		method, port, host string
		header             []string
		status             int
	}{
		"a program":              {"POST", here, "127.0.0.1", nil, 200},
		"by name":                {"GET", here, "localhost", nil, 200},
		"IPv6":                   {"GET", here, "[::1]", nil, 200},
		"the page itself":        {"POST", here, "127.0.0.1", []string{"Sec-Fetch-Site", "same-origin"}, 200},
		"an older browser":       {"POST", here, "localhost", []string{"Origin", "http://localhost"}, 200},
		"a link from elsewhere":  {"GET", here, "localhost", []string{"Sec-Fetch-Site", "cross-site"}, 200},
		"a form elsewhere":       {"POST", here, "localhost", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		"a DELETE elsewhere":     {"DELETE", here, "localhost", []string{"Origin", "https://evil.example"}, 403},
		"a rebound name":         {"GET", here, "evil.example", nil, 403},
		"a rebound name's POST":  {"POST", here, "evil.example", []string{"Sec-Fetch-Site", "same-origin"}, 403},
		"localhost in a name":    {"GET", here, "localhost.evil.example", nil, 403},
		"another machine":        {"GET", here, "192.0.2.1", nil, 403},
		"one of all addresses":   {"GET", everywhere, "192.0.2.1", nil, 200},
		"a name of all, rebound": {"GET", everywhere, "evil.example", nil, 403},
	} {
		t.Run(name, func(t *testing.T) {
			before := done
			r, err := http.NewRequestWithContext(t.Context(), tc.method, "http://127.0.0.1:"+tc.port+"/do", nil)
			require.NoError(t, err)
			for i := 0; i+1 < len(tc.header); i += 2 {
				r.Header.Set(tc.header[i], tc.header[i+1])
			}
			r.Host = tc.host
			if name != "an older browser" { // its Origin has no port
				r.Host += ":" + tc.port
			}
			response, err := http.DefaultClient.Do(r)
			require.NoError(t, err)
			defer func() { _ = response.Body.Close() }()
			answer, err := io.ReadAll(response.Body)
			require.NoError(t, err)
			require.Equal(t, tc.status, response.StatusCode, string(answer))
			if tc.status == http.StatusForbidden {
				require.Equal(t, "application/problem+json", response.Header.Get("Content-Type"))
				require.Equal(t, before, done, "the handler ran")
			}
		})
	}
}

func TestAWrongMethodIsAProblemThatNamesTheRightOnes(t *testing.T) {
	mux := &kit.Mux{}
	for _, pattern := range []string{"GET /things/{id}", "DELETE /things/{id}"} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) error { return nil })
	}
	w := kittest.Do(mux, http.MethodPost, "/things/7", "{}")
	require.Equal(t, http.StatusMethodNotAllowed, w.Code)
	require.Equal(t, "DELETE, GET, HEAD", w.Header().Get("Allow"))
	require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
	require.Equal(t, http.StatusNotFound, kittest.Do(mux, http.MethodPost, "/nothing", "{}").Code)
}

func TestExpectedVersionTakesStrongETagsAlone(t *testing.T) {
	for match, want := range map[string]struct {
		version int64
		says    string
	}{
		"":        {0, ""},
		"*":       {0, ""},
		`"7"`:     {7, ""},
		`W/"7"`:   {0, "Weak ETag"},
		`"0"`:     {0, "If-Match must be"},
		`"new"`:   {0, "If-Match must be"},
		`"7","8"`: {0, "If-Match must be"},
	} {
		r := httptest.NewRequest(http.MethodPatch, "/", strings.NewReader("{}"))
		r.Header.Set("If-Match", match)
		version, err := kit.ExpectedVersion(r)
		require.Equal(t, want.version, version, match)
		if want.says == "" {
			require.NoError(t, err, match)
		} else {
			require.ErrorContains(t, err, want.says, match)
		}
	}
}
