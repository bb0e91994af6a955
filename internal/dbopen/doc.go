// Package dbopen opens the database that a URL names, with the settings that Postroom
// needs. It is the only shipped package that imports database drivers.
//
// For every connection of the pool it promises:
//
//   - times are UTC, in both directions;
//   - transactions are READ COMMITTED (SQLite: serialised, begun IMMEDIATE,
//     synchronous=FULL, WAL), because the relay's reads rely on it;
//   - a server that does not answer is an error after the connection timeout
//     (10 s unless the URL says otherwise), which names the host, the port and
//     the database and says what to try;
//   - through a pooler such as pgbouncer no named prepared statement and no
//     session setting is used, because each transaction may meet another server
//     connection.
//
// No error and no Target.Redacted contains a password, wherever it is in the URL.
// Errors are made only from parts of the URL that are known to be harmless, never
// from the URL's text.
package dbopen
