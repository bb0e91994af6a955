//go:build unix

package kafkatest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// classes returns the file of an archive of Kafka's classes, with which a node needs half
// the processor time to start. It is made once for a machine and an installation, and
// kept beside Kafka. A JVM that finds it does not fit goes on without.
func classes(java, lib string) (string, error) {
	real, err := filepath.EvalSymlinks(java)
	if err != nil {
		return "", err
	}
	installation := sha256.Sum256([]byte(fmt.Sprint(real, lib, javaOptions())))
	file := filepath.Join(filepath.Dir(lib), fmt.Sprintf("kafkatest-%x.jsa", installation[:6]))
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	lock, err := os.OpenFile(file+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer func() { _ = lock.Close() }()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	if _, err := os.Stat(file); err == nil {
		return file, nil // another process has made it meanwhile
	}
	fresh := fmt.Sprint(file, ".", os.Getpid())
	defer func() { _ = os.Remove(fresh) }()
	ctx, cancel := context.WithTimeout(context.Background(), StartTimeout)
	defer cancel()
	if err := record(ctx, java, lib, fresh); err != nil {
		return "", err
	}
	return file, os.Rename(fresh, file)
}

// record starts a node and stops it: at its end it writes down the classes it has used.
func record(ctx context.Context, java, lib, file string) (err error) {
	c, err := prepare(java, lib, Options{Nodes: 1, Secure: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	c.jvm = []string{"-XX:ArchiveClassesAtExit=" + file}
	if err := c.begin(ctx); err != nil {
		return err
	}
	return c.Node(1).Stop()
}
