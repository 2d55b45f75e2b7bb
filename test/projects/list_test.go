package projects_test

import "regexp"

// A row is one command on one project: a line of the table.
type row struct {
	name    string
	pkg     string   // the Debian package whose sources are built; of what we make up ourselves, the one that has the tool
	made    string   // a script that makes the tree, instead of sources
	needs   []string // programs; where one is missing, the row is left out
	prepare string   // run once and plainly in the tree, before any build
	command string   // as a person types it; without the word mprun, and with make for mpmake, it is the plain build
	results []string // patterns of files that must be the same; none: all objects, archives and executables
	says    *regexp.Regexp
	limit   string // why it can't spread
	short   bool   // part of a short run
}

// The smallest sensible configuration of each: what is shown is where commands run, and not how fast a compiler optimizes.
var rows = []row{
	{name: "Lua", pkg: "lua5.4", command: "mpmake linux MYCFLAGS=-O1", short: true},
	{name: "Redis", pkg: "redis", command: "mpmake MALLOC=libc OPTIMIZATION=-O1"},
	{name: "git", pkg: "git", command: "mpmake " + gitOptions},
	{name: "git, its tests", pkg: "git", needs: []string{"prove"}, prepare: "make " + gitOptions,
		command: "cd t && mprun prove -j32 ./t000[1-9]-*.sh ./t001?-*.sh ./t002[0-6]-*.sh",
		says:    regexp.MustCompile(`(?m)^Files=\d+, Tests=\d+|^Result: \w+$|^\./t\S+ \.+ .*$`)},
	{name: "SQLite, configure", pkg: "sqlite3", command: "mprun ./configure " + sqliteOptions, limit: configure, results: configured},
	{name: "SQLite", pkg: "sqlite3", needs: []string{"tclsh"}, prepare: "./configure " + sqliteOptions, command: "mpmake libsqlite3.la"},
	{name: "zstd", pkg: "libzstd", command: "mpmake zstd-release MOREFLAGS=-O1"},
	{name: "curl, configure", pkg: "curl", command: "mprun ./configure " + curlOptions, limit: configure, results: configured},
	{name: "curl", pkg: "curl", prepare: "./configure " + curlOptions, command: "mpmake"},
	{name: "brotli (CMake, Ninja)", pkg: "brotli", needs: []string{"cmake", "ninja"}, prepare: brotli, command: "mprun cmake --build build"},
	{name: "brotli, its tests", pkg: "brotli", needs: []string{"cmake", "ninja"}, prepare: brotli + " && cmake --build build && cd build && ctest", // which from then on begins with the longest
		command: "cd build && mprun ctest", says: regexp.MustCompile(`(?m)Test +#\d+: \S+ \.+ +\w+|^.* tests passed, .*$`)},
	{name: "pixman (Meson)", pkg: "pixman", needs: []string{"meson", "ninja", "pkg-config"},
		prepare: "meson setup build -Doptimization=0 -Dgtk=disabled -Dlibpng=disabled", command: "mprun meson compile -C build"},
	{name: "GNU make, configure", pkg: "make-dfsg", command: "mprun ./configure --disable-nls", limit: configure, results: configured, short: true},
	{name: "GNU make", pkg: "make-dfsg", prepare: "./configure --disable-nls", command: "mpmake"},
	{name: "ImageMagick", pkg: "imagemagick", made: pictures, needs: []string{"convert"},
		command: "ls *.png | mprun xargs -P8 -I{} convert {} -blur 0x4 -resize 50% {}.jpg", results: []string{"*.jpg"}},
	{name: "LaTeX", pkg: "texlive-latex-base", made: documents, needs: []string{"pdflatex"},
		command: `ls *.tex | mprun xargs -P8 -I{} sh -c 'pdflatex -interaction=batchmode {} && pdflatex -interaction=batchmode {}'`, results: []string{"*.pdf", "*.aux"}},
}

const (
	gitOptions    = "NO_CURL=1 NO_EXPAT=1 NO_GETTEXT=1 NO_TCLTK=1 NO_PYTHON=1 NO_PERL=1 NO_OPENSSL=1 CFLAGS=-O0 SKIP_DASHED_BUILT_INS=1"
	sqliteOptions = "--disable-amalgamation --disable-tcl --disable-shared --disable-readline CFLAGS=-O1"
	curlOptions   = "--without-ssl --disable-ldap --without-zlib --disable-manual --without-libpsl --without-brotli --without-zstd " +
		"--without-nghttp2 --without-libidn2"
	brotli    = "cmake -G Ninja -DCMAKE_BUILD_TYPE=Debug -B build"
	configure = "it is one command, of one test after the other"
	pictures  = `for i in $(seq 24); do convert -seed $i -size 700x700 plasma:fractal $i.png; done`
	documents = `for i in $(seq 16); do cat >$i.tex <<'END'
\documentclass{article}
\newcount\n
\begin{document}
\tableofcontents
\n=0 \loop\ifnum\n<60 \advance\n by 1
\section{Section \the\n}\label{s\the\n} See~\ref{s1} on page~\pageref{s\the\n}: $\int_0^\infty e^{-x^2}\,dx=\frac{\sqrt\pi}{2}$.
\newpage\repeat
\end{document}
END
done`
)

// What a configure leaves; config.log has the time and process numbers in it.
var configured = []string{"config.status", "config.h", "*/config.h", "*/*_config.h", "Makefile", "*/Makefile", "libtool"}
