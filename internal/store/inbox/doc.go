// Package inbox has the statements of the inbox: which messages a consumer is done with, the attempts at those that it
// is not, what is parked, the offsets of partitions, pruning, and PostgreSQL's daily partitions.
//
// The consumer's side of a parked message is here; what an operator asks for it is in internal/store/parked.
package inbox
