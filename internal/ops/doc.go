// Package ops words what an operator may type. Libraries, doctor and the command take their
// texts from here, so that each exists once.
package ops
