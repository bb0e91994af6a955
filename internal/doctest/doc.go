// Package doctest keeps README.md and docs honest. It holds tests alone:
//
//   - Every Go block compiles against this module. A block is a file, declarations, or
//     statements; the variables that statements use from outside are named in a comment
//     before the block: <!-- given: ctx context.Context, db *sql.DB -->. Imports are found
//     by the packages' names (imports_test.go); of a block of imports alone each must exist.
//   - A block that quotes a file, <!-- from: examples/shop/stock/stock.go -->, is in that file
//     byte for byte, but for its indentation. It is not compiled again.
//   - Every command in a shell block exists: the relay's verbs and flags, make's targets,
//     packages, files.
//   - Every SQL block says how it is tested: <!-- test: postgresql mysql sqlite insert -->
//     runs it on those databases and looks for the row. Grants are run by package migrations.
//   - Every link within the repository leads somewhere.
//   - Every Go name in the text, such as inbox.New, is in its package.
//   - docs/architecture.md names every package, and nothing that is not there.
//   - docs/hazards.md has every hazard that Go files cite by name, each with a picture, a rule
//     and tests that exist.
//   - Every page of docs/patterns has a picture, code, tests that exist, and its row in the
//     table of docs/patterns.
//   - Every example has a README with its one command.
package doctest
