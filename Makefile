# make          build everything into bin/
# make test     every test there is
# make conformance  hundreds of tests of "exactly as execve": the table, docs/FIDELITY.md, and 10,000 random commands
# make suite    GNU make's own tests, plainly and over the nodes: docs/gnu-make-suite.md (make test has them too)
# make stress   interrupts, deaths of daemons and kills at random moments, as often as docs/interrupts.md says
# make demo     build Lua and Redis over four test hosts and compare with a local build (SRC=dir: your own project)
# make projects build real projects over four hosts, and compare: the table, docs/PROJECTS.md (as root; half an hour)
# make sim      simulate placement on 2 to 10,000 nodes and write docs/placement again
# make bench    print the figures of docs/BENCH.md again
# make builds   git on 8 hosts beside ssh, distcc, pump, icecc and one machine with all the CPUs: docs/BUILDS.md (as root; an hour, on a quiet machine)
# make install  DESTDIR= PREFIX=/usr; make uninstall with the same

PREFIX  := /usr
DESTDIR :=
LIB     := $(DESTDIR)$(PREFIX)/lib/mexec
SHARE   := $(DESTDIR)$(PREFIX)/share
VERSION := $(shell sed -n 's/^const Version = "\(.*\)"$$/\1/p' mexec.go)
GOBUILD := CGO_ENABLED=0 go build -trimpath -buildvcs=false

all: deps
	$(MAKE) -C libmexec PREFIX=$(PREFIX)
	$(GOBUILD) -o bin/ ./cmd/...

# Unit tests first and with the race detector, then the whole system, one package at a time: its daemons share the machine.
test: all
	$(MAKE) -C libmexec test sanitize conformance
	@test/tools.sh || echo "test: going on without make 4.4 and ninja 1.13; what needs them is skipped"
	go test -race -timeout 5m $$(go list ./... | grep -v '^mexec/test')
	go test -short -count=1 -timeout 8m -p 1 ./test/...

conformance: all
	$(MAKE) -C libmexec conformance
	go test -count=1 -timeout 60m -parallel 4 -v ./test/conformance -commands 10000 -write | grep -v '^ *\(===\|--- PASS\)'

suite: all
	go test -count=1 -timeout 15m -v ./test/gnumake -write

stress: all
	go test -count=1 -timeout 60m -v ./test/stress

projects: all
	go test -count=1 -timeout 90m -v ./test/projects -write

demo: all
	go run -buildvcs=false ./test/demo $(SRC)

bench: all
	go run -buildvcs=false ./bench

sim:
	go run -buildvcs=false ./cmd/mexecsim -write docs/placement

builds: all
	go run -buildvcs=false ./bench/builds -hosts 8
	go run -buildvcs=false ./bench/builds -hosts 8 -quarter -systems smp,mexec,ssh
	go run -buildvcs=false ./bench/builds -hosts 8 -homes 8 -rounds 1 -systems smp,mexec,ssh

lint:
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "gofmt -w $$unformatted"; exit 1; }
	go vet ./...
	staticcheck ./...

install:
	$(MAKE) -C libmexec PREFIX=$(PREFIX)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/sbin $(LIB) $(DESTDIR)$(PREFIX)/lib/systemd/system
	install bin/mexec bin/mexecvp bin/mpmake bin/mprun bin/mexecctl $(DESTDIR)$(PREFIX)/bin
	install bin/mexecd $(DESTDIR)$(PREFIX)/sbin
	install bin/mexec-stage $(LIB)
	install -m 644 bin/libmexec-preload.so $(LIB)
	install bin/mexec-test $(DESTDIR)$(PREFIX)/bin
	install -d $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/lib/pkgconfig
	install -m 644 libmexec/mexec.h $(DESTDIR)$(PREFIX)/include
	install -m 644 bin/libmexec.a $(DESTDIR)$(PREFIX)/lib
	cp -P bin/libmexec.so bin/libmexec.so.[0-9]* $(DESTDIR)$(PREFIX)/lib
	sed 's,@PREFIX@,$(PREFIX),; s,@VERSION@,$(VERSION),' libmexec/mexec.pc.in >$(DESTDIR)$(PREFIX)/lib/pkgconfig/mexec.pc
	sed 's,/usr/,$(PREFIX)/,' packaging/mexecd.service >$(DESTDIR)$(PREFIX)/lib/systemd/system/mexecd.service
	install -d $(SHARE)/man/man1 $(SHARE)/man/man3 $(SHARE)/man/man8
	install -m 644 packaging/man/*.1 $(SHARE)/man/man1
	sed 's,/usr/bin/mexec,$(PREFIX)/bin/mexec,' packaging/man/mexec.3 >$(SHARE)/man/man3/mexec.3
	for name in $$(sed -n 's/^\.Fo //p' packaging/man/mexec.3); do ln -sf mexec.3 $(SHARE)/man/man3/$$name.3; done
	install -m 644 packaging/man/*.8 $(SHARE)/man/man8
	ln -sf mexec.1 $(SHARE)/man/man1/mexecvp.1
	install -d $(SHARE)/bash-completion/completions $(SHARE)/zsh/site-functions
	install -m 644 packaging/completion.bash $(SHARE)/bash-completion/completions/mexec
	for name in mexecvp mpmake mprun; do ln -sf mexec $(SHARE)/bash-completion/completions/$$name; done
	install -m 644 packaging/completion.zsh $(SHARE)/zsh/site-functions/_mexec
	bin/mexecctl completion bash >$(SHARE)/bash-completion/completions/mexecctl
	bin/mexecctl completion zsh >$(SHARE)/zsh/site-functions/_mexecctl

# What install has made, but for directories that others may use. Settings and the node's identity stay: /etc/mexec, /var/lib/mexec.
uninstall:
	cd $(DESTDIR)$(PREFIX) && rm -rf lib/mexec && rm -f bin/mexec bin/mexecvp bin/mpmake bin/mprun bin/mexecctl bin/mexec-test sbin/mexecd \
		include/mexec.h lib/libmexec.a lib/libmexec.so lib/libmexec.so.[0-9]* lib/pkgconfig/mexec.pc lib/systemd/system/mexecd.service \
		$(patsubst packaging/man/%.1,share/man/man1/%.1,$(wildcard packaging/man/*.1)) share/man/man1/mexecvp.1 \
		$(patsubst packaging/man/%.8,share/man/man8/%.8,$(wildcard packaging/man/*.8)) share/man/man3/mexec.3 \
		$$(sed -n 's,^\.Fo \(.*\),share/man/man3/\1.3,p' $(CURDIR)/packaging/man/mexec.3) \
		$(addprefix share/bash-completion/completions/,mexec mexecvp mpmake mprun mexecctl) \
		share/zsh/site-functions/_mexec share/zsh/site-functions/_mexecctl

# Needs protoc and, in PATH, protoc-gen-go v1.36.12 and protoc-gen-go-grpc v1.6.2.
proto:
	cd internal/wire && protoc --go_out=mexecpb --go_opt=paths=source_relative \
		--go-grpc_out=mexecpb --go-grpc_opt=paths=source_relative mexec.proto

deps:
	@packaging/deps

test conformance suite stress projects demo bench builds: test-deps
test-deps:
	@packaging/deps test

clean:
	$(MAKE) -C libmexec clean
	rm -rf bin tmp

.PHONY: all test conformance suite stress projects demo bench builds sim lint install uninstall proto deps test-deps clean
