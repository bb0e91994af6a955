// Package config reads the configuration of the relay command from flags, the
// environment and a YAML file; the first of them that has a value wins.
//
// It promises that all mistakes are reported at once, each with the name of the
// setting as the user wrote it (flag, variable or YAML key) and what to do about it,
// that an unknown YAML key is rejected with the nearest known name, and that no error
// and no printed configuration holds a secret. A secret can be kept in a file:
// POSTROOM_DATABASE_URL_FILE and the like, or database_url_file in YAML.
//
// The table in settings.go is the one place that lists the settings: flags, variables
// and the known YAML keys are derived from it.
package config
