// Package db has what every package that speaks to a database shares: the dialects, the names
// of the tables, the classes of the drivers' errors, the loop over a query's rows, the values that
// databases write in different ways, and the loader of .sql files.
//
// It imports no driver: it recognises driver errors by their methods and fields (errors.go). It
// knows no subject: the packages that import it say what is done with a table.
package db
