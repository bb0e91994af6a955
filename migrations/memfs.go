package migrations

import (
	"io/fs"
	"path"
	"strings"
	"time"
)

// memFS is a file system of rewritten files for goose. goose opens files by name and lists them by pattern.
type memFS []file

var _ fs.GlobFS = memFS(nil)

// Open returns a file by its name.
func (m memFS) Open(name string) (fs.File, error) {
	for _, f := range m {
		if f.name == name {
			return &memFile{Reader: strings.NewReader(f.sql), name: name}, nil
		}
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// Glob lists the names that match a pattern.
func (m memFS) Glob(pattern string) ([]string, error) {
	var names []string
	for _, f := range m {
		ok, err := path.Match(pattern, f.name)
		if err != nil {
			return nil, err
		}
		if ok {
			names = append(names, f.name)
		}
	}
	return names, nil
}

// memFile is a file that also describes itself.
type memFile struct {
	*strings.Reader
	name string
}

func (f *memFile) Stat() (fs.FileInfo, error) { return f, nil }
func (f *memFile) Close() error               { return nil }
func (f *memFile) Name() string               { return f.name }
func (f *memFile) Mode() fs.FileMode          { return 0o444 }
func (f *memFile) ModTime() time.Time         { return time.Time{} }
func (f *memFile) IsDir() bool                { return false }
func (f *memFile) Sys() any                   { return nil }
