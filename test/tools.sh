#!/bin/sh
# The tools that tests need in versions of their own: GNU make 4.4.1, whose jobserver is a fifo, also linked statically, and ninja 1.13, the first to be a client of one.
# They are built from Debian's sources into tmp/tools; what is there already is kept.
set -eu
cd "$(dirname "$0")/.."
into=$PWD/tmp/tools
[ -x "$into/make-4.4.1" ] && [ -x "$into/make-4.4.1-static" ] && [ -x "$into/ninja-1.13" ] && exit 0
mkdir -p "$into/apt/lists/partial" "$into/apt/cache/archives/partial"

mirror=$(sed -n 's/^URIs: *//p; s/^deb  *\(\[[^]]*\] *\)*\(http[^ ]*\) .*/\2/p' /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2>/dev/null |
	grep -v security | head -n1)
for suite in trixie sid; do
	echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:-http://deb.debian.org/debian} $suite main"
done >"$into/apt/sources"

# fetch PACKAGE VERSION: the upstream part, checked by apt against the archive's signature
fetch() {
	(cd "$into" && apt-get -qq -o Dir::Etc::sourcelist="$into/apt/sources" -o Dir::Etc::sourceparts=/dev/null \
		-o Dir::State::lists="$into/apt/lists" -o Dir::Cache="$into/apt/cache" -o APT::Sandbox::User= "$@")
}
unpack() {
	rm -rf "$into/$1"
	mkdir "$into/$1"
	tar -C "$into/$1" --strip-components=1 --no-same-owner -xf "$into"/"$2"
}

fetch update
if ! [ -x "$into/make-4.4.1" ] || ! [ -x "$into/make-4.4.1-static" ]; then
	fetch source --download-only make-dfsg/trixie
	unpack make 'make-dfsg_4.4.1.orig.tar.xz'
	mkdir -p "$into/make/doc" && echo 'all install:' >"$into/make/doc/Makefile.in" # Debian leaves the manual out
	(cd "$into/make" && ./configure -q --disable-nls --disable-dependency-tracking >/dev/null && sh build.sh >/dev/null)
	mv "$into/make/make" "$into/make-4.4.1"
	(cd "$into/make" && gcc -static -o ../make-4.4.1-static src/*.o lib/libgnu.a 2>/dev/null) # glibc warns of dlopen and getpwnam
fi
if ! [ -x "$into/ninja-1.13" ]; then
	fetch source --download-only ninja-build/sid
	unpack ninja "$(cd "$into" && ls ninja-build_1.1*.orig.tar.gz | tail -n1)"
	(cd "$into/ninja" && python3 configure.py --bootstrap >/dev/null 2>&1)
	mv "$into/ninja/ninja" "$into/ninja-1.13"
fi
