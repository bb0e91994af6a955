package provision

// For the tests, which cannot be in this package: kittest imports it.
var (
	PostgreSQL  = postgreSQL
	MySQL       = mySQL
	MariaDBHash = mariaDBHash
)
