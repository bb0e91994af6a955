package kit

import (
	"net"
	"net/http"
	"net/url"
)

// guard protects services that trust whoever can reach them, as those of the shop do. A browser can reach them too, and
// runs the programs of every page that its user looks at:
//
//   - A page of another site sends a POST. http.CrossOriginProtection rejects it, by what browsers tell of its origin.
//   - The name of another site is made to point at this machine (DNS rebinding), so that the browser takes this service
//     for that site, and lets its page read the answers. The header Host then has that name, and is not accepted.
func guard(own net.Addr, next http.Handler) http.Handler {
	origins := http.NewCrossOriginProtection()
	origins.SetDenyHandler(HandlerFunc(func(http.ResponseWriter, *http.Request) error {
		return Forbidden("the request comes from a page of another site")
	}))
	next = origins.Handler(next)
	return HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		if !isOurs(r.Host, own) {
			return Forbidden("there is no " + r.Host + " here: use localhost, or the address of the listener")
		}
		next.ServeHTTP(w, r)
		return nil
	})
}

// isOurs tells whether host is localhost or an address at which this process listens. A service that is reached by
// another name, behind a proxy for example, needs that name here.
func isOurs(host string, own net.Addr) bool {
	name := (&url.URL{Host: host}).Hostname() // without port and brackets
	ip := net.ParseIP(name)
	listener, isTCP := own.(*net.TCPAddr)
	switch {
	case ip == nil:
		return name == "localhost"
	case ip.IsLoopback() || !isTCP:
		return true
	}
	// One that listens everywhere has all addresses of the machine. An attacker's page has a name, not an address.
	return listener.IP.IsUnspecified() || listener.IP.Equal(ip)
}
