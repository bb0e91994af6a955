// Package kit is what several services of the shop need, and nothing else:
//
//   - database.go opens a service's database by its URL, for database/sql and for gorm, with Postroom's tables in it;
//     dialect.go and mysql.go have what differs between the kinds of databases.
//   - http.go serves HTTP: JSON in and out, a limit for bodies, and errors as problems (RFC 9457, problem.go). guard.go
//     keeps pages of other sites out.
//   - ids.go says which texts can be an id, or name an article.
//   - idempotency.go makes a POST that is sent twice take effect once.
//   - kafka.go makes the topics and sets up consumers; message.go makes events and reads messages.
//   - run.go runs the parts of a service.
package kit
