package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"mexec/test/debian"
)

// A project is something that make builds.
type project struct {
	name string
	tree string   // a pristine copy
	args []string // of make
}

// ours are the projects that come from Debian: name, source package, arguments of make.
var ours = []project{
	{name: "Lua 5.4", tree: "lua5.4", args: []string{"linux"}},
	{name: "Redis 7", tree: "redis", args: []string{"MALLOC=libc"}}, // jemalloc's configure takes longer than the build
}

func theProjects(ctx context.Context, base string, args []string) ([]project, error) {
	if len(args) > 0 {
		dir, err := filepath.Abs(args[0])
		if err != nil {
			return nil, err
		}
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("%s is not the directory of a project", args[0])
		}
		return []project{{name: filepath.Base(dir), tree: dir, args: args[1:]}}, nil
	}
	var all []project
	for _, p := range ours {
		tree, err := debian.Source(ctx, filepath.Join(base, "sources"), p.tree)
		if err != nil {
			return nil, fmt.Errorf("%w\n(without Debian's sources: make demo SRC=DIR)", err)
		}
		all = append(all, project{p.name, tree, p.args})
	}
	return all, nil
}
