// Package dbopen opens the database that a URL names, set up the way Postroom
// needs it, and is the only shipped package that imports database drivers.
//
// It promises of every connection of the pool:
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
// No error and no Target.Redacted holds a password, wherever in the URL it
// stands: errors are put together from the parts of the URL that are known to be
// harmless, never from the URL's text.
package dbopen
