// Package archive keeps what package history knows of costs in one SQLite file, for the next run of the daemon.
//
// The file is history.db in the daemon's state directory, its owner's alone, with a write-ahead log that is not synced at each commit: what a crash takes is what was not
// written yet, half a minute of a build at most. What is known lives in memory; the file is only ever read by Load. It holds no more rows than package history knows, a few MB. The table is for people, too:
//
//	sqlite3 history.db 'SELECT name, runs, wall, memory / 1048576 FROM cost WHERE NOT exact ORDER BY wall DESC LIMIT 20'
//
// A file that is damaged, no database, or of a later version is set aside, as history.db.aside in the place of one that may be there, and a new one begun:
// what it held can be learned again, and no daemon is to fail for it.
//
// New does nothing to the file. A File belongs to one goroutine at a time.
package archive

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"mexec/internal/history"
)

const (
	name    = "history.db"
	version = 1
)

const schema = `CREATE TABLE IF NOT EXISTS cost (
	key    INTEGER PRIMARY KEY,
	exact  INTEGER NOT NULL, -- of one command; else of a kind
	name   TEXT NOT NULL,    -- of a kind's program
	runs   INTEGER NOT NULL,
	cpu    REAL NOT NULL,    -- seconds
	wall   REAL NOT NULL,    -- seconds
	memory REAL NOT NULL,    -- bytes
	spread REAL NOT NULL,    -- bytes
	output REAL NOT NULL,    -- bytes
	used   INTEGER NOT NULL  -- seconds since 1970, of the last run
)`

// File is the file.
type File struct {
	path string
	db   *sql.DB // nil before Load
}

// New names the file in a directory.
func New(dir string) *File { return &File{path: filepath.Join(dir, name)} }

// Load opens the file, or begins one, and reads all of it. aside is not nil where a file had to be set aside, and says why.
func (f *File) Load() (rows []history.Row, aside, err error) {
	rows, err = f.load()
	if err == nil {
		return rows, nil, nil
	}
	f.Close()
	if !unreadable(err) {
		return nil, nil, fmt.Errorf("history %s: %w", f.path, err)
	}
	aside = fmt.Errorf("history %s: %w: set aside", f.path, err)
	// What is in its log belongs to it and to no other file.
	for _, suffix := range []string{"-wal", "-shm"} {
		os.Remove(f.path + suffix)
	}
	if err := os.Rename(f.path, f.path+".aside"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("history %s: %w", f.path, errors.Join(aside, err))
	}
	if rows, err = f.load(); err != nil {
		f.Close()
		return nil, nil, fmt.Errorf("history %s: %w", f.path, err)
	}
	return rows, aside, nil
}

// errFile begins what is wrong with the file itself.
var errFile = errors.New("file is")

// unreadable says whether an error is the file's fault. That another daemon has it, or that the disk is full, is not.
func unreadable(err error) bool {
	var e *sqlite.Error
	if errors.As(err, &e) {
		switch e.Code() & 0xff { // the rest is detail
		case sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_MISMATCH:
			return true
		}
	}
	return errors.Is(err, errFile)
}

func (f *File) load() (rows []history.Row, err error) {
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		return nil, err
	}
	made, err := os.OpenFile(f.path, os.O_RDWR|os.O_CREATE, 0o600) // SQLite would let all read it
	if err != nil {
		return nil, err
	}
	made.Close()
	at := url.URL{Scheme: "file", Opaque: url.PathEscape(f.path), RawQuery: url.Values{"_pragma": {
		"busy_timeout(1000)", "journal_mode(WAL)", "synchronous(NORMAL)", "wal_autocheckpoint(128)", "journal_size_limit(1048576)",
	}}.Encode()}
	if f.db, err = sql.Open("sqlite", at.String()); err != nil {
		return nil, err
	}
	f.db.SetMaxOpenConns(1)
	var found int
	var sound string
	if err := f.db.QueryRow("PRAGMA user_version").Scan(&found); err != nil {
		return nil, err
	}
	if found > version { // 0: a new one
		return nil, fmt.Errorf("%w of version %d, later than %d", errFile, found, version)
	}
	if err := f.db.QueryRow("PRAGMA quick_check(1)").Scan(&sound); err != nil {
		return nil, err
	}
	if sound != "ok" {
		return nil, fmt.Errorf("%w damaged", errFile)
	}
	if _, err := f.db.Exec(schema + fmt.Sprintf("; PRAGMA user_version = %d", version)); err != nil {
		return nil, err
	}
	return f.read()
}

func (f *File) read() (rows []history.Row, err error) {
	all, err := f.db.Query("SELECT key, exact, name, runs, cpu, wall, memory, spread, output, used FROM cost ORDER BY used")
	if err != nil {
		return nil, err
	}
	defer all.Close()
	for all.Next() {
		var r history.Row
		var key int64
		if err := all.Scan(&key, &r.Exact, &r.Name, &r.Runs, &r.CPU, &r.Wall, &r.Memory, &r.Spread, &r.Output, &r.Used); err != nil {
			return nil, err
		}
		r.Key = uint64(key)
		rows = append(rows, r)
	}
	return rows, all.Err()
}

// Save writes rows, and takes out the keys of what was forgotten.
func (f *File) Save(rows []history.Row, gone []uint64) error {
	if err := f.save(rows, gone); err != nil {
		return fmt.Errorf("history %s: %w", f.path, err)
	}
	return nil
}

func (f *File) save(rows []history.Row, gone []uint64) error {
	if f.db == nil {
		return errors.New("not open")
	}
	tx, err := f.db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	put, err := tx.Prepare("INSERT OR REPLACE INTO cost VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
	if err != nil {
		return err
	}
	defer put.Close()
	for _, key := range gone {
		if _, err := tx.Exec("DELETE FROM cost WHERE key = ?", int64(key)); err != nil {
			return err
		}
	}
	for _, r := range rows {
		if _, err := put.Exec(int64(r.Key), r.Exact, r.Name, r.Runs, r.CPU, r.Wall, r.Memory, r.Spread, r.Output, r.Used); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// Close closes the file.
func (f *File) Close() error {
	if f.db == nil {
		return nil
	}
	db := f.db
	f.db = nil
	return db.Close()
}
