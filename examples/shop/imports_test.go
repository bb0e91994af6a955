package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A service that imports another one would use its tables or its types, and the two could no longer change alone.
func TestNoServiceImportsAnother(t *testing.T) {
	const shop = "github.com/postroom/postroom/examples/shop/"
	services := []string{"customers", "stock", "payments", "orders", "notifications", "gateway"}
	service := func(path string) string {
		name, _, _ := strings.Cut(strings.TrimPrefix(path, shop), "/")
		return name
	}
	var seen []string
	for _, line := range goList(t, `{{.ImportPath}} {{join .Deps " "}}`) {
		path, deps, _ := strings.Cut(line, " ")
		from := service(path)
		if !slices.Contains(services, from) {
			continue
		}
		seen = append(seen, from)
		for _, dep := range strings.Fields(deps) {
			if strings.HasPrefix(dep, shop) && service(dep) != from {
				require.NotContains(t, services, service(dep), "%s imports %s", path, dep)
			}
		}
	}
	require.Subset(t, seen, services)
}

func goList(t *testing.T, format string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", format, "./...").Output()
	require.NoError(t, err)
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}
