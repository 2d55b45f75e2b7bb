package mexec

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The kernel is the judge: what is sure must start. What must be sure is said, too, or nothing would travel.
func TestWhatIsSureStarts(t *testing.T) {
	t.Chdir(t.TempDir())
	program, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	foreign := append([]byte(nil), program...)
	foreign[18] ^= 1
	for name, f := range map[string]struct {
		text string
		mode os.FileMode
		sure bool
	}{
		"program":               {string(program), 0o700, true},
		"not-executable":        {string(program), 0o600, false},
		"half":                  {string(program[:100]), 0o700, false},
		"foreign":               {string(foreign), 0o700, false},
		"script":                {"#!/bin/sh\n", 0o700, true},
		"argument":              {"#! \t/bin/sh\t-e\n", 0o700, true},
		"nested1":               {"#!./script\n", 0o700, true},
		"nested2":               {"#!./nested1\n", 0o700, true},
		"nested3":               {"#!./nested2\n", 0o700, true},
		"nested4":               {"#!./nested3\n", 0o700, true},
		"nested5":               {"#!./nested4\n", 0o700, false},
		"itself":                {"#!./itself\n", 0o700, false},
		"text":                  {"exit 5\n", 0o700, false},
		"empty":                 {"", 0o700, false},
		"blank":                 {"#! \n", 0o700, false},
		"nul":                   {"#!/bin/true\x00x\n", 0o700, false},
		"no-newline":            {"#!/bin/true", 0o700, false},
		"no-interpreter":        {"#!/nosuch/sh\n", 0o700, false},
		"directory-interpreter": {"#!/usr\n", 0o700, false},
		"plain-interpreter":     {"#!./not-executable\n", 0o700, false},
		"self-interpreter":      {"#!/proc/self/exe\n", 0o700, false},
	} {
		if err := os.WriteFile(name, []byte(f.text), f.mode); err != nil {
			t.Fatal(err)
		}
		defer func() {
			path, _ := filepath.Abs(name)
			sure := surelyExecutes(path)
			if sure != f.sure {
				t.Errorf("%s: sure %v", name, sure)
			}
			if !f.sure { // one of them would be this test, again and again
				return
			}
			if err := exec.Command(path).Start(); err != nil {
				t.Errorf("%s: sure, and starting it: %v", name, err)
			}
		}()
	}
}

// To the stub it is the stub.
func TestAProgramThatStartsItselfByProcSelfExeIsNotPutBehindTheStub(t *testing.T) {
	for path, sure := range map[string]bool{"/proc/self/exe": false, "/proc/thread-self/exe": false, "/proc/self/root/bin/true": true} {
		if surelyExecutes(path) != sure {
			t.Errorf("%s: sure is not %v", path, sure)
		}
	}
}
