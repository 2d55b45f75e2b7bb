#!/bin/sh
# sources.sh VERSION INTO: GNU make's sources from Debian (4.3 of bookworm, 4.4.1 of trixie), ready for configure, as the directory INTO.
# What is there already is kept.
set -eu
version=$1 into=$2 suite=bookworm
[ -x "$into/configure" ] && exit 0
[ "$version" = 4.3 ] || suite=trixie
if [ "$version" = 4.3 ] && ! { command -v autoreconf && command -v automake && command -v autopoint && command -v patch; } >/dev/null; then
	echo "make 4.3 comes without configure: autoconf, automake, autopoint, gettext and patch are needed"
	exit 1
fi
work=$into.work
rm -rf "$work"
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/make"
mirror=$(sed -n 's/^URIs: *//p; s/^deb  *\(\[[^]]*\] *\)*\(http[^ ]*\) .*/\2/p' /etc/apt/sources.list /etc/apt/sources.list.d/*.sources \
	/etc/apt/sources.list.d/*.list 2>/dev/null | grep -v security | head -n1)
echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:-http://deb.debian.org/debian} $suite main" >"$work/sources"
cd "$work"
# With --download-only apt checks every file against the archive's signature, and needs no dpkg-dev.
fetch() {
	apt-get -qq -o Dir::Etc::sourcelist="$work/sources" -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists="$work/lists" \
		-o Dir::Cache="$work/cache" -o APT::Sandbox::User= "$@"
}
fetch update
fetch source --download-only "make-dfsg/$suite"
tar -C make --strip-components=1 --no-same-owner -xf make-dfsg_"$version".orig.tar.*
# Debian leaves the manual out, and the build with it only in its patch.
mkdir -p make/doc
echo 'all install:' >make/doc/Makefile.in
: >make/doc/make.1
if [ "$version" = 4.3 ]; then
	zcat make-dfsg_4.3-*.diff.gz | patch -d make -sp1
	(cd make && autoreconf -fi >autoreconf.log 2>&1) || { tail "$work/make/autoreconf.log"; exit 1; }
fi
rm -rf "$into"
mv make "$into"
rm -rf "$work"
