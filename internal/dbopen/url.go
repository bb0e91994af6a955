package dbopen

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/postroom/postroom/internal/db"
)

// parsedURL is a database URL in parts. net/url alone will not do: PostgreSQL allows
// several hosts, and an unescaped character in a password moves the borders so that
// a part of the password ends up in what looks like the host or the path.
type parsedURL struct {
	dialect  db.Dialect
	raw      string
	user     string
	password string
	hosts    string // host:port[,host:port…]
	path     string // without the leading slash, unescaped; SQLite: the file
	query    url.Values
}

const schemes = "postgres://, postgresql://, mysql://, mariadb:// or sqlite:"

func parseURL(raw string) (*parsedURL, error) {
	raw = strings.TrimSpace(raw)
	if raw == "" {
		return nil, fmt.Errorf("database URL is empty: give one that starts with %s", schemes)
	}
	if path, ok := strings.CutPrefix(raw, "sqlite:"); ok {
		return parseSQLite(raw, path)
	}
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		// What stands here may be a DSN with a password: it is not repeated.
		return nil, fmt.Errorf("database URL has no scheme: it must start with %s", schemes)
	}
	if strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return nil, errors.New(
			"database URL holds a space or a control character: write it percent-encoded (a space is %20)",
		)
	}
	u := &parsedURL{raw: raw}
	switch scheme {
	case "postgres", "postgresql":
		u.dialect = db.PostgreSQL
	case "mysql", "mariadb":
		u.dialect = db.MySQL
	default:
		if quoted := quoteScheme(scheme); quoted != "" {
			return nil, fmt.Errorf("database URL has the scheme %s, which is not known: use %s", quoted, schemes)
		}
		return nil, fmt.Errorf(
			"database URL must start with %s; what it starts with is not shown, because it may be a secret", schemes,
		)
	}
	if err := u.split(rest); err != nil {
		return nil, fmt.Errorf("database URL (%s): %w", scheme, err)
	}
	return u, nil
}

var (
	errEscapeCredentials = errors.New(
		"user or password holds a character that must be percent-encoded (/ as %2F, ? as %3F, # as %23, @ as %40, % " +
			"as %25), or the URL has an @ or # behind the host",
	)
	errEscapeRest = errors.New("path or parameters are not percent-encoded properly (% itself is %25)")
)

// split takes apart user:password@hosts/path?query.
func (u *parsedURL) split(rest string) error {
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, tail := rest[:end], rest[end:]
	if strings.ContainsAny(tail, "@#") {
		return errEscapeCredentials
	}
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		if err := u.credentials(authority[:at]); err != nil {
			return err
		}
		authority = authority[at+1:]
	}
	if err := checkHosts(authority); err != nil {
		return err
	}
	u.hosts = authority
	path, query, _ := strings.Cut(tail, "?")
	var err1, err2 error
	u.path, err1 = url.PathUnescape(strings.TrimPrefix(path, "/"))
	u.query, err2 = url.ParseQuery(query)
	if err1 != nil || err2 != nil {
		return errEscapeRest
	}
	return nil
}

func (u *parsedURL) credentials(userinfo string) error {
	if strings.Contains(userinfo, "@") {
		return errEscapeCredentials // where the host begins is then a matter of opinion, also between parsers
	}
	user, password, _ := strings.Cut(userinfo, ":")
	var err1, err2 error
	u.user, err1 = url.PathUnescape(user)
	u.password, err2 = url.PathUnescape(password)
	if err1 != nil || err2 != nil {
		return errEscapeCredentials
	}
	return nil
}

// checkHosts rejects a port that is no number: it is most likely the first part of
// a password that holds a slash, so it is not repeated.
func checkHosts(hosts string) error {
	for host := range strings.SplitSeq(hosts, ",") {
		colon := strings.LastIndexByte(host, ':')
		if colon < 0 || strings.HasSuffix(host, "]") {
			continue
		}
		if strings.Trim(host[colon+1:], "0123456789") != "" {
			return errors.New(
				"the port is not a number; if this is part of a password, percent-encode the password (/ as %2F, @ " +
					"as %40)",
			)
		}
	}
	return nil
}

func parseSQLite(raw, path string) (*parsedURL, error) {
	path, query, _ := strings.Cut(path, "?")
	if query != "" {
		return nil, errors.New(
			"database URL (sqlite): parameters are not allowed: Postroom sets the pragmas that it needs itself; " +
				"write a ? in a file's name as %3F",
		)
	}
	if rest, ok := strings.CutPrefix(path, "//"); ok {
		if !strings.HasPrefix(rest, "/") {
			return nil, errors.New(
				"database URL (sqlite): two slashes name a host: use sqlite:///absolute/path or sqlite:relative/path",
			)
		}
		path = rest
	}
	path, err := url.PathUnescape(path)
	if err != nil {
		return nil, fmt.Errorf("database URL (sqlite): %w", errEscapeRest)
	}
	if path == "" || strings.HasSuffix(path, "/") {
		return nil, errors.New("database URL (sqlite): name a file: sqlite:///absolute/path or sqlite:relative/path")
	}
	if strings.Contains(path, ":memory:") {
		return nil, errors.New(
			"database URL (sqlite): a database in memory cannot be shared between connections: name a file",
		)
	}
	return &parsedURL{dialect: db.SQLite, raw: raw, path: path}, nil
}

// quoteScheme quotes a scheme for an error, and returns nothing for what does not look like one: it may be a secret.
func quoteScheme(s string) string {
	if len(s) <= 20 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789+-.") == "" {
		return `"` + s + `"`
	}
	return ""
}

// Printable reports whether a URL holds nothing that may be secret, so that a message
// may repeat it whole: no password, and no parameters.
func Printable(raw string) bool {
	u, err := parseURL(raw)
	return err == nil && u.password == "" && len(u.query) == 0
}

// Redact returns a URL with what may be secret taken out: user and password, and
// all parameters. What cannot be taken apart safely is not shown at all. It serves
// URLs of any scheme, also those of brokers.
func Redact(raw string) string {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		if strings.HasPrefix(raw, "sqlite:") {
			path, _, _ := strings.Cut(raw, "?")
			return path
		}
		return "(not shown)"
	}
	var u parsedURL
	if err := u.split(rest); err != nil {
		return quoteSchemeBare(scheme) + "://(not shown)"
	}
	if u.path == "" {
		return quoteSchemeBare(scheme) + "://" + u.hosts
	}
	return quoteSchemeBare(scheme) + "://" + u.hosts + "/" + u.path
}

func quoteSchemeBare(s string) string {
	if quoted := quoteScheme(s); quoted != "" {
		return strings.Trim(quoted, `"`)
	}
	return "(not shown)"
}

// DialectOf returns the dialect that a database URL names, or what is wrong with the
// URL. It does not connect.
func DialectOf(rawURL string) (db.Dialect, error) {
	if err := Check(rawURL); err != nil {
		return "", err
	}
	u, err := parseURL(rawURL)
	if err != nil {
		return "", err
	}
	return u.dialect, nil
}

// HasPassword reports whether a URL of any scheme holds a password, or cannot be taken
// apart so that it might.
func HasPassword(raw string) bool {
	_, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return false
	}
	var u parsedURL
	if err := u.split(rest); err != nil {
		return true
	}
	return u.password != "" || u.query.Has("password") || u.query.Has("sslpassword")
}
