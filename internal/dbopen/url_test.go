package dbopen

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/postroom/postroom/internal/db"
)

const secret = "hunter2xyz"

func TestURLsOfTheContractAreUnderstood(t *testing.T) {
	for _, c := range []struct {
		url      string
		dialect  db.Dialect
		hosts    string
		path     string
		password string
	}{
		{"postgres://u:p@db:5432/shop", db.PostgreSQL, "db:5432", "shop", "p"},
		{"postgresql://u:p%40%2F@db/shop?sslmode=disable", db.PostgreSQL, "db", "shop", "p@/"},
		{"postgres://u@a:1,b:2/shop", db.PostgreSQL, "a:1,b:2", "shop", ""},
		{"postgres://u:p@[::1]:5432/shop", db.PostgreSQL, "[::1]:5432", "shop", "p"},
		{"postgres:///shop?host=/run/postgresql", db.PostgreSQL, "", "shop", ""},
		{"mysql://u:a:b@db:3306/shop", db.MySQL, "db:3306", "shop", "a:b"},
		{"mariadb://u:p%40ss%20@db/shop", db.MySQL, "db", "shop", "p@ss "},
		{"sqlite:///var/lib/shop.db", db.SQLite, "", "/var/lib/shop.db", ""},
		{"sqlite:data/shop%3F.db", db.SQLite, "", "data/shop?.db", ""},
		{" sqlite:shop.db\n", db.SQLite, "", "shop.db", ""},
	} {
		t.Run(c.url, func(t *testing.T) {
			u, err := parseURL(c.url)
			require.NoError(t, err)
			require.Equal(t, c.dialect, u.dialect)
			require.Equal(t, c.hosts, u.hosts)
			require.Equal(t, c.path, u.path)
			require.Equal(t, c.password, u.password)
			require.NoError(t, Check(c.url))
		})
	}
}

func TestAWrongURLSaysWhatToWrite(t *testing.T) {
	for name, c := range map[string]struct{ url, want string }{
		"empty":             {"", "starts with postgres://"},
		"no scheme":         {"localhost:5432/shop", "no scheme"},
		"key and value DSN": {"host=db password=" + secret, "no scheme"},
		"MySQL's DSN":       {"root:" + secret + "@tcp(db:3306)/shop", "no scheme"},
		"unknown scheme":    {"oracle://u:" + secret + "@db/shop", `"oracle"`},
		"scheme that may be a secret": {secret + "!://db/shop", "must start with postgres://, postgresql://, " +
			"mysql://, mariadb:// or sqlite:; what it starts with is not shown, because it may be a secret"},
		"sqlite with a host":          {"sqlite://data/shop.db", "sqlite:///absolute"},
		"sqlite with parameters":      {"sqlite:shop.db?mode=ro", "parameters are not allowed"},
		"sqlite without a file":       {"sqlite:", "name a file"},
		"sqlite in memory":            {"sqlite::memory:", "cannot be shared"},
		"port is no number":           {"postgres://db:" + secret + "/shop", "port is not a number"},
		"slash in a password":         {"postgres://u:" + secret + "/x@db/shop", "percent-encoded"},
		"digits and slash":            {"postgres://u:1234/" + secret + "@db/shop", "percent-encoded"},
		"question mark in a password": {"mysql://u:" + secret + "?x@db/shop", "percent-encoded"},
		"at sign in a password":       {"postgres://u:1@" + secret + "@db/shop", "percent-encoded"},
		"space in a password":         {"mysql://u:1 " + secret + "@db/shop", "percent-encoded"},
		"hash in a password":          {"mysql://u:1#" + secret + "@db/shop", "percent-encoded"},
		"bad escape in a password":    {"mysql://u:" + secret + "%zz@db/shop", "percent-encoded"},
		"bad escape in the path":      {"mysql://u:" + secret + "@db/shop%zz", "percent-encoded"},
		"bad escape in a parameter":   {"postgres://u@db/shop?password=" + secret + "%zz", "percent-encoded"},
		"mysql without a database":    {"mysql://u:" + secret + "@db", "name the database"},
		"mysql with several hosts":    {"mysql://u:" + secret + "@a,b/shop", "several hosts"},
		"mysql with our parameter":    {"mysql://u:" + secret + "@db/shop?parseTime=false", `"parseTime"`},
		"mysql with a bad timeout":    {"mysql://u:" + secret + "@db/shop?timeout=soon", "soon"},
		"postgres with a bad sslmode": {"postgres://u:" + secret + "@db/shop?sslmode=perhaps", "sslmode"},
		"postgres with a bad timeout": {
			"postgres://u:" + secret + "@db/shop?connect_timeout=" + secret, "cannot be used",
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := Check(c.url)
			require.Error(t, err)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), secret)
		})
	}
}

func TestRedactKeepsTheAddressAndNothingSecret(t *testing.T) {
	for in, want := range map[string]string{
		"amqp://u:" + secret + "@mq:5672/vhost?x=" + secret:  "amqp://mq:5672/vhost",
		"postgres://" + secret + "@db/shop":                  "postgres://db/shop",
		"postgres://u:" + secret + "/" + secret + "@db/shop": "postgres://(not shown)",
		"mysql://db?password=" + secret:                      "mysql://db",
		"sqlite:///var/shop.db":                              "sqlite:///var/shop.db",
		"password=" + secret:                                 "(not shown)",
	} {
		require.Equal(t, want, Redact(in))
	}
}

func FuzzNoErrorHoldsThePassword(f *testing.F) {
	for _, seed := range []string{"", "/", "?", "#", "@", "%", "%zz", ":", "[", " ", "1/", "\\", "&password="} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		for _, scheme := range []string{"postgres://", "mysql://"} {
			raw := scheme + "user:" + before + secret + after + "@db:1/shop"
			if err := Check(raw); err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("the password is in: %v", err)
			}
			if strings.Contains(Redact(raw), secret) {
				t.Errorf("the password is in: %s", Redact(raw))
			}
		}
	})
}
