# TernMQ: the few commands a newcomer needs. `make` alone prints them.

PREFIX  ?= /usr/local
DESTDIR ?=
CARGO   ?= cargo
PYTHON  ?= python3

VENV        := target/venv
VENV_PYTHON := $(VENV)/bin/python
NODE_FOLDER := target/node
# What is built how and where; `make install PROFILE=dev BUILT=target/debug` is quick and slow.
PROFILE     ?= release
BUILD       ?= --profile=$(PROFILE)
BUILT       ?= target/$(PROFILE)
DEST         = $(DESTDIR)$(PREFIX)

# For a program that needs no library of the system.
MUSL        ?= $(shell uname -m)-unknown-linux-musl

VERSION      = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)

# The four names under which programs link with Paho C; ffi-c/paho-names makes the shared ones.
PAHO_NAMES := libpaho-mqtt3c libpaho-mqtt3cs libpaho-mqtt3a libpaho-mqtt3as

.DEFAULT_GOAL := help
.PHONY: help run test lint doc site build install deb static wheel manylinux paho-suite bench fuzz memcheck clean tools

help: ## Print this list
	@printf 'TernMQ: make TARGET\n\n'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name text; do \
		printf '  %-10s %s\n' "$$name" "$$text"; done
	@printf '\n  PREFIX=DIR is where install puts things (now %s).\n' '$(PREFIX)'

run: tools wheel build ## Build all, then show one message travelling through every face
	@examples/run

test: tools ## Install what the tests need, run all of them, end with "N passed, N failed"
	@tests/run

lint: ## Formatting and clippy, warnings are errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

doc: ## The API documentation, in target/doc
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --no-deps

site: tools ## The manual of the Python package, in target/site; warnings are errors
	@NO_MKDOCS_2_WARNING=1 $(VENV_PYTHON) -m mkdocs build --quiet --strict --config-file py/mkdocs.yml

build: ## The server and the C library
	$(CARGO) build $(BUILD) --locked -p ternmq-server -p ternmq-ffi-c

install: build ## DIR/bin/ternmq and MQTTVersion, DIR/lib with the four Paho names, CMake and pkg-config files, DIR/include
	install -d '$(DEST)/bin' '$(DEST)/include' '$(DEST)/lib/pkgconfig' \
		'$(DEST)/lib/cmake/eclipse-paho-mqtt-c'
	install -m 755 $(BUILT)/ternmq '$(DEST)/bin/ternmq'
	install -m 755 $(BUILT)/libternmq.so '$(DEST)/lib/libternmq.so.0'
	ln -sf libternmq.so.0 '$(DEST)/lib/libternmq.so'
	install -m 644 $(BUILT)/libternmq.a '$(DEST)/lib/libternmq.a'
	install -m 644 include/*.h '$(DEST)/include/'
	install -m 644 ffi-c/packaging/*.cmake '$(DEST)/lib/cmake/eclipse-paho-mqtt-c/'
	ffi-c/paho-names '$(DEST)/lib'
	$${CC:-cc} -std=c99 -Wall -s -Iinclude -o '$(DEST)/bin/MQTTVersion' ffi-c/packaging/MQTTVersion.c \
		-Wl,--enable-new-dtags -Wl,-rpath,'$$ORIGIN/../lib' -ldl
	for name in $(PAHO_NAMES); do \
		ln -sf libternmq.a "$(DEST)/lib/$$name.a" || exit 1; done
	for name in libternmq $(PAHO_NAMES); do \
		sed "s/@NAME@/$${name#lib}/; s/@VERSION@/$(VERSION)/" ffi-c/packaging/pkg-config.in \
			> "$(DEST)/lib/pkgconfig/$${name#lib}.pc" || exit 1; done

deb: build ## A Debian package of the server with its unit, in target/debian
	core/server/packaging/make-deb $(BUILT)/ternmq $(VERSION) target/debian

static: ## The server for any Linux of this kind, linked with musl, in target/TARGET/release; minutes
	@command -v musl-gcc >/dev/null || { echo 'musl-gcc is missing (Debian: apt-get install musl-tools)' >&2; exit 1; }
	@! command -v rustup >/dev/null || rustup target add $(MUSL)
	$(CARGO) build $(BUILD) --locked --target $(MUSL) -p ternmq-server --bin ternmq
	@tests/static_works target/$(MUSL)/$(notdir $(BUILT))/ternmq

wheel: tools ## One wheel for CPython 3.11 and later, and this machine's glibc or later, in target/wheels
	@rm -f target/wheels/ternmq-*.whl
	$(VENV_PYTHON) -m maturin build --profile $(PROFILE) --locked --manifest-path py/Cargo.toml --out target/wheels
	$(VENV_PYTHON) -m pip install --quiet --no-index --no-deps --force-reinstall target/wheels/ternmq-*.whl

manylinux: tools ## The wheel for Linux with glibc 2.17 or later, in target/wheels/manylinux; minutes
	@rm -f target/wheels/manylinux/ternmq-*.whl
	$(VENV_PYTHON) -m pip install --quiet --disable-pip-version-check 'ziglang>=0.14,<0.18'
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(VENV_PYTHON) -m maturin build --release --locked --zig \
		--compatibility manylinux2014 --manifest-path py/Cargo.toml --out target/wheels/manylinux
	@$(VENV_PYTHON) tests/wheel_works target/wheels/manylinux/ternmq-*.whl

paho-suite: wheel ## The tests of paho-mqtt and aiomqtt, as they come from PyPI, on ternmq.paho; minutes
	@$(VENV_PYTHON) tests/paho_suite/run

bench: wheel ## Measure beside other makes: BENCH="ROW... --quick", BENCH=--list; an hour for all
	@$(VENV_PYTHON) tests/bench/run $(BENCH)

fuzz: ## Fuzz every target for FUZZ_SECONDS (60) each; needs cargo-fuzz and a nightly compiler
	@tests/fuzz/run $(or $(FUZZ_SECONDS),60)

memcheck: ## All C programs of the tests under valgrind; minutes
	$(CARGO) run --locked -p ternmq-test-abi --bin memcheck

clean: ## Remove everything that was built or installed below target
	rm -rf target

tools:
	@tests/setup $(PYTHON) $(VENV) $(NODE_FOLDER)
