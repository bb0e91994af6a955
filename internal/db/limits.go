package db

// CountLimit is the largest number of rows that a status or a check counts. Counting more would take seconds. The
// number is also in statements of .sql files, and tests compare them with this one.
const CountLimit = 200_000
