// Package ops words what an operator may type. Libraries, doctor and the command take their
// texts from here, so that each exists once. What may be asked of parked rows is in package parked; here is how it
// is worded.
package ops
