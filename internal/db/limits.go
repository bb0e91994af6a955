package db

// CountLimit is up to how many rows a status or a check counts; counting more would take seconds. Statements in
// .sql files have the number, and tests hold it against this one.
const CountLimit = 200_000
