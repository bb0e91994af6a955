package chaos

import "encoding/json"

// body is a payload.
type body struct {
	Key         string `json:"key"`
	Version     int64  `json:"version"`
	Writer      int    `json:"writer"`
	Transaction int    `json:"transaction"`
	Padding     string `json:"padding"`
}

func (b body) encode() []byte { return mustJSON(b) }

func headerJSON(headers map[string]string) string { return string(mustJSON(headers)) }

// mustJSON encodes what has no reason to fail: structs and maps of strings and numbers.
func mustJSON(v any) []byte {
	encoded, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return encoded
}
