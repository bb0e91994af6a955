package kit

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
)

// Problem is an error that a client gets to see, as RFC 9457 has it. Handlers return one; every other error is
// answered with 500 and no details, and logged.
type Problem struct {
	Status int    `json:"status"`
	Type   string `json:"type"`             // a name for programs, such as "/problems/version-conflict"
	Title  string `json:"title"`            // the same for all problems of the type
	Detail string `json:"detail,omitempty"` // what is wrong with this request
	// CurrentVersion is for a conflict: the client can read that version and try again.
	CurrentVersion int64 `json:"current_version,omitempty"`
}

// Error is the title and the detail.
func (p *Problem) Error() string { return p.Title + ": " + p.Detail }

// BadRequest is the problem of a request that is wrong in itself.
func BadRequest(detail string) *Problem {
	return &Problem{Status: http.StatusBadRequest, Type: "/problems/bad-request", Title: "Bad request", Detail: detail}
}

// Forbidden is the problem of a request that may not be made from there.
func Forbidden(detail string) *Problem {
	return &Problem{Status: http.StatusForbidden, Type: "/problems/forbidden", Title: "Forbidden", Detail: detail}
}

// NotFound is the problem of something that is not there.
func NotFound(detail string) *Problem {
	return &Problem{Status: http.StatusNotFound, Type: "/problems/not-found", Title: "Not found", Detail: detail}
}

// Gone is the problem of something that was there, such as a customer who was erased.
func Gone(detail string) *Problem {
	return &Problem{Status: http.StatusGone, Type: "/problems/gone", Title: "Gone", Detail: detail}
}

// Conflict is the problem of a request that was made for another version than the current one.
func Conflict(detail string, current int64) *Problem {
	return &Problem{
		Status: http.StatusConflict, Type: "/problems/version-conflict", Title: "Version conflict",
		Detail: detail, CurrentVersion: current,
	}
}

// Unprocessable is the problem of a request that is well formed and cannot be done.
func Unprocessable(detail string) *Problem {
	return &Problem{
		Status: http.StatusUnprocessableEntity, Type: "/problems/unprocessable", Title: "Unprocessable", Detail: detail,
	}
}

// WriteError answers with the problem that err is, or with one that says nothing of it.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	var problem *Problem
	if !errors.As(err, &problem) {
		// The client gets no details: they may hold names of tables and addresses.
		slog.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path, "error", err)
		problem = &Problem{
			Status: http.StatusInternalServerError, Type: "/problems/internal", Title: "Internal error",
			Detail: "The service could not handle the request. Try again with the same Idempotency-Key.",
		}
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(problem.Status)
	_ = json.NewEncoder(w).Encode(problem) // the client is gone if this fails
}
