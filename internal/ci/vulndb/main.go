// Command vulndb tells whether a Go vulnerability database can be reached: `vulndb https://vuln.go.dev` prints
// "reachable", or "unreachable: " and why, and exits with 0 for both. .ci/run asks it before govulncheck, whose own
// exit code does not tell a missing network from a finding.
//
// Unreachable is only what the network or a server in between is to blame for. An address that answers as no such
// database, or whose certificate is not trusted, is an error (exit 1): a wrong address must not switch the check off.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// patience bounds one question; the index it asks for is some hundred bytes.
const patience = 30 * time.Second

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: vulndb URL")
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	why, err := unreachable(ctx, http.DefaultClient, os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "vulndb:", err)
		os.Exit(1)
	}
	if why != "" {
		fmt.Println("unreachable:", why)
		return
	}
	fmt.Println("reachable")
}

// unreachable says why the database at base cannot be reached, "" when it can. The path is the one of the database's
// version 1 protocol, see https://go.dev/doc/security/vuln/database.
func unreachable(ctx context.Context, client *http.Client, base string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/index/db.json", nil)
	if err != nil {
		return "", fmt.Errorf("address of the vulnerability database: %w", err)
	}
	answer, err := client.Do(request)
	if err != nil {
		var untrusted *tls.CertificateVerificationError
		if errors.As(err, &untrusted) {
			return "", err
		}
		return err.Error(), nil
	}
	defer func() { _ = answer.Body.Close() }()
	switch status := answer.StatusCode; {
	case status == http.StatusOK:
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			return err.Error(), nil
		}
		return "", nil
	case status == http.StatusForbidden, status == http.StatusProxyAuthRequired, status == http.StatusTooManyRequests,
		status >= http.StatusInternalServerError:
		return base + " answered " + answer.Status, nil
	default:
		return "", fmt.Errorf("%s answered %s, which no vulnerability database does", base, answer.Status)
	}
}
