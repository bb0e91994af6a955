// Package archive has the statements of `relay replay`: it finds events in outbox_archive and puts them back into
// outbox_events. The relay itself writes and purges the archive, with the statements of internal/store/relay.
package archive
