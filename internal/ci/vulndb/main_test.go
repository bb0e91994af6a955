package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDatabaseIsJudgedByItsAnswer(t *testing.T) {
	cases := []struct {
		name        string
		status      int
		unreachable bool
		fails       bool
	}{
		{"a database answers", http.StatusOK, false, false},
		{"a proxy refuses", http.StatusForbidden, true, false},
		{"a gateway has no way there", http.StatusBadGateway, true, false},
		{"the server asks for patience", http.StatusTooManyRequests, true, false},
		{"the address is not a database's", http.StatusNotFound, false, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			asked := ""
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked = r.URL.Path
				w.WriteHeader(c.status)
			}))
			defer server.Close()

			why, err := unreachable(context.Background(), server.Client(), server.URL)

			require.Equal(t, "/index/db.json", asked)
			require.Equal(t, c.fails, err != nil, "error: %v", err)
			require.Equal(t, c.unreachable, why != "", "reason: %s", why)
		})
	}
}

func TestServerThatIsGoneIsUnreachable(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()

	why, err := unreachable(context.Background(), server.Client(), server.URL)

	require.NoError(t, err)
	require.Contains(t, why, "refused")
}

func TestUntrustedCertificateIsAnErrorAndNoExcuse(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()

	_, err := unreachable(context.Background(), http.DefaultClient, server.URL)

	require.ErrorContains(t, err, "certificate")
}

func TestAddressThatIsNoneIsAnError(t *testing.T) {
	_, err := unreachable(context.Background(), http.DefaultClient, "::")

	require.ErrorContains(t, err, "address of the vulnerability database")
}
