package provision

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // MariaDB's mysql_native_password is made of it
	"crypto/sha256"
	"encoding/base64"
	"fmt"
)

// Servers write statements into their logs. So a statement has what the server stores of a password. Nobody can log in
// with that, because the password cannot be computed from it.

// scramVerifier is what PostgreSQL stores of a password: SCRAM-SHA-256 of RFC 5803.
func scramVerifier(password string) string {
	const iterations = 4096
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		panic(err) // the lengths are wrong, and they are constants
	}
	of := func(text string) []byte {
		mac := hmac.New(sha256.New, salted)
		mac.Write([]byte(text))
		return mac.Sum(nil)
	}
	stored := sha256.Sum256(of("Client Key"))
	text := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, text(salt), text(stored[:]), text(of("Server Key")))
}

// mariaDBHash is what MariaDB stores of a password. It has no salt, and needs none for a random password.
func mariaDBHash(password string) string {
	once := sha1.Sum([]byte(password)) //nolint:gosec // as above
	twice := sha1.Sum(once[:])         //nolint:gosec // as above
	return fmt.Sprintf("*%X", twice)
}
