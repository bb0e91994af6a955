// Package faultdb puts faults between a program and its database: a connection that
// breaks before a statement or after it, and errors of one's own. Only tests import it.
//
// It promises that a broken connection is a real one: the connection to the server is
// closed, so that the server rolls back what was not committed, and the statement
// whose answer is lost has taken effect.
package faultdb
