package kit

import (
	"regexp"

	"github.com/google/uuid"
)

var validSKU = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// ValidSKU tells whether a text can name an article. Orders and stock both ask here. If orders took a name that stock
// cannot store, such as one with a zero byte, stock could never handle the message about that order.
func ValidSKU(sku string) bool { return validSKU.MatchString(sku) }

// ValidID tells whether a text can be the id of an order or a customer: a UUID in lower case, as the services make
// them. Every service asks before a text from outside reaches its database, which may not be able to compare it.
func ValidID(id string) bool {
	parsed, err := uuid.Parse(id)
	return err == nil && parsed.String() == id // Parse also takes other forms of the same id
}
