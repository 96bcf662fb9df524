# The targets: `make help`.

# Where `make install` installs files, each below DESTDIR.
DESTDIR     =
prefix      = /usr
bindir      = $(prefix)/bin
sbindir     = $(prefix)/sbin
datadir     = $(prefix)/share
mandir      = $(datadir)/man
docdir      = $(datadir)/doc/stargrey
unitdir     = $(prefix)/lib/systemd/system
presetdir   = $(prefix)/lib/systemd/system-preset
sysusersdir = $(prefix)/lib/sysusers.d
bashdir     = $(datadir)/bash-completion/completions
zshdir      = $(datadir)/zsh/site-functions
fishdir     = $(datadir)/fish/vendor_completions.d
sysconfdir  = /etc
# Debian's place for a service's options; RPM systems have sysconfig.
optionsdir  = $(sysconfdir)/default

# Which build is installed: release or debug.
profile     = release

# For `make run`.
port        = 10023
OPTIONS     =

# The oldest Rust that Cargo.toml allows.
oldest_rust = $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
target      = $(or $(CARGO_TARGET_DIR),target)
stage       = $(abspath $(target))/stage
bus         = org.stargrey.Greylist1
units       = $(notdir $(wildcard systemd/stargrey*.socket systemd/stargrey*.service systemd/stargrey*.timer))
pages       = $(wildcard man/*.[1578])
scripts     = .ci/run .ci/dist tests/unpack tests/milter-greylist tests/sendmail tests/valkey man/recipes debian/crates debian/stargrey.postrm debian/tests/smoke \
	debian/stargrey.postinst $(addprefix tests/system/,block deps image packages run lib deb rpm cargo_vendor.prov i386) $(wildcard tests/system/claims/*)

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' Makefile

build: ## Build what is installed
	cargo build --release

define question
bash -c "exec 3<>/dev/tcp/127.0.0.1/$(port); printf 'request=smtpd_access_policy\nprotocol_state=RCPT\nclient_name=unknown\nclient_address=192.0.2.1\nsender=ann@example.org\nrecipient=bob@example.net\n\n' >&3; head -n 1 <&3"
endef
export question

run: ## Try it: the daemon in the foreground, with a temporary database
	cargo build
	@scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && \
	mkdir "$$scratch/db" && cp -R src/lists "$$scratch/lists" && \
	if [ "$$(id -u)" = 0 ]; then \
		chown -R nobody: "$$scratch" && set -- --user=nobody --group="$$(id -gn nobody)"; \
	fi && \
	printf '\nAsk it from another terminal:\n\n%s\n\n' "$$question" && \
	printf 'Or let Postfix ask, in main.cf:\n\n%s\n\n' 'smtpd_recipient_restrictions = reject_unauth_destination, check_policy_service { inet:127.0.0.1:$(port), timeout=10s, default_action=DUNNO }' && \
	{ $(target)/debug/stargreyd --inet=127.0.0.1:$(port) --dbdir="$$scratch/db" \
		--whitelist-clients="$$scratch/lists/whitelist_clients" \
		--whitelist-recipients="$$scratch/lists/whitelist_recipients" \
		--whitelist-senders="$$scratch/lists/whitelist_senders" \
		$(if $(findstring --s25r,$(OPTIONS)),--s25r-exceptions="$$scratch/lists/s25r_exceptions") "$$@" $(OPTIONS) & daemon=$$!; \
	trap 'kill "$$daemon"' HUP INT TERM; wait "$$daemon"; status=$$?; \
	[ "$$status" -le 128 ] || wait "$$daemon"; }

define lay
install -d $(DESTDIR)$(2)
install -m 644 $(1) $(DESTDIR)$(2)/$(3)
endef

define complete
install -d $(DESTDIR)$(2)
$(target)/$(profile)/stargreyctl completion $(1) >$(DESTDIR)$(2)/$(3)
chmod 644 $(DESTDIR)$(2)/$(3)
endef

install: ## Install all files: DESTDIR, prefix, profile …
	install -D $(target)/$(profile)/stargreyd $(DESTDIR)$(sbindir)/stargreyd
	install -D $(target)/$(profile)/stargreyctl $(DESTDIR)$(bindir)/stargreyctl
	$(call complete,bash,$(bashdir),stargreyctl)
	$(call complete,zsh,$(zshdir),_stargreyctl)
	$(call complete,fish,$(fishdir),stargreyctl.fish)
	install -d $(DESTDIR)$(unitdir)
	for unit in $(units); do \
		sed 's,/usr/sbin/,$(sbindir)/,; s,/usr/bin/stargreyctl,$(bindir)/stargreyctl,' systemd/$$unit >$(DESTDIR)$(unitdir)/$$unit || exit; \
	done
	$(call lay,systemd/stargrey.preset,$(presetdir),50-stargrey.preset)
	$(call lay,systemd/stargrey.sysusers,$(sysusersdir),stargrey.conf)
	$(call lay,systemd/stargrey.options,$(optionsdir),stargrey)
	$(call lay,systemd/stargrey.logcheck,$(sysconfdir)/logcheck/ignore.d.server,stargrey)
	$(call lay,$(wildcard src/lists/*),$(sysconfdir)/stargrey)
	$(call lay,systemd/stargrey.list-watch,$(sysconfdir)/stargrey,list-watch)
	$(call lay,systemd/$(bus).service,$(datadir)/dbus-1/system-services)
	$(call lay,systemd/$(bus).conf,$(datadir)/dbus-1/system.d)
	$(call lay,systemd/$(bus).policy,$(datadir)/polkit-1/actions)
	for page in $(pages); do \
		install -D -m 644 $$page $(DESTDIR)$(mandir)/man$${page##*.}/$${page##*/} || exit; \
	done
	$(call lay,README.md SECURITY.md,$(docdir))
	for page in man/stargrey.7 man/stargrey-milter.7; do man/recipes $$page $(DESTDIR)$(docdir)/examples || exit; done
	$(call lay,$(wildcard doc/examples/*),$(docdir)/examples/prometheus)
	@[ -n "$(DESTDIR)" ] || echo 'Next: systemd-sysusers && systemctl daemon-reload && systemctl enable --now stargrey.socket'

dist: ## The source archive for packages, with all crates: target/dist
	.ci/dist $(abspath $(target))

check: check-deps check-rust check-release check-oldest check-man check-units check-scripts check-system ## All checks that a change must pass

check-deps: ## Install what the checks need (Debian, as root)
	tests/system/deps

check-rust: ## Format, lints, tests, documentation
	tests/spf-suite $(target)
	tests/milter-greylist $(target)
	tests/valkey $(target)
	tests/sendmail $(target)
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --no-deps
	cargo test

# The crate alone, as the profile has it but for panic=abort, with which no test can be linked.
check-release: spf = $(abspath $(target))/release-checks
check-release: ## No SPF record crashes a release build
	CARGO_TARGET_DIR=$(spf) cargo build --release --config 'profile.release.panic="unwind"' --package viaspf
	rustc --edition 2024 --test --out-dir $(spf) -C overflow-checks=yes -L dependency=$(spf)/release/deps \
		--extern viaspf=$(spf)/release/libviaspf.rlib tests/spf_prefixes.rs
	$(spf)/spf_prefixes

# In a directory of its own, so that nothing is compiled again for either. Without rustup, Debian's Rust will do if it is
# that version. Where that Rust cannot be fetched (a machine without the internet), clippy's incompatible_msrv is all
# that was looked at, and this says so.
check-oldest: ## The oldest Rust that Cargo.toml allows compiles programs, tests and benches
	@case $$(rustc --version) in \
	"rustc $(oldest_rust)."*) set -- cargo ;; \
	*) set -- rustup run $(oldest_rust) cargo; \
		rustup run $(oldest_rust) cargo --version >/dev/null 2>&1 || \
			timeout 300 rustup toolchain install --profile minimal --no-self-update $(oldest_rust) || \
			{ echo 'check-oldest: NOT PROVEN: Rust $(oldest_rust) is not here and cannot be fetched' >&2; exit 0; } ;; \
	esac; set -x; CARGO_TARGET_DIR=$(abspath $(target))/oldest-rust "$$@" check --locked --all-targets

check-man: ## The manual pages, to the last warning
	$(if $(pages),mandoc -T lint -W warning $(pages))

# The units are looked at as installed, so that the program they name is there: as the tests have compiled it, because
# `cargo build` has other features of crates, and compiles half of them again. verify has no exit status for a mere
# warning; 15 is an exposure of 1.5 out of 10.
check-units: ## The systemd units: correct and sandboxed
	cargo test --no-run --test layering
	rm -rf $(stage)
	@$(MAKE) --no-print-directory install DESTDIR= prefix=$(stage) sysconfdir=$(stage)/etc profile=debug >/dev/null
	@complaints=$$(systemd-analyze verify --man=no $(stage)/lib/systemd/system/stargrey* 2>&1); \
		[ -z "$$complaints" ] || { echo "$$complaints"; exit 1; }
	@for unit in $(filter %.service,$(units)); do \
		if report=$$(systemd-analyze security --no-pager --offline=yes --threshold=15 $(stage)/lib/systemd/system/$$unit); \
		then echo "$$report" | tail -n 1; else echo "$$report"; exit 1; fi; done

check-scripts: ## The shell scripts
	if command -v shellcheck >/dev/null; then shellcheck $(scripts); fi

check-system: ## Both packages are built, and used in booted systems (as root)
	tests/system/run

check-i386: ## The test suite on 32 bits, with Debian's Rust in an i386 image (as root)
	tests/system/i386

# Seconds that the next two take, the second for each of its targets; which way they go.
SECONDS = 60
SEED    = 1
FILES   = 300

pictures: ## Write the pictures of README.md: doc/pictures
	STARGREY_PICTURES=1 cargo test --quiet --lib ctl::report::pictures::

crash-test: ## Kill the daemon under load again and again, for SECONDS=60 (SEED=1): no durable record is lost
	STARGREY_CRASH_SECONDS=$(SECONDS) STARGREY_CRASH_SEED=$(SEED) cargo test --test it crash:: -- --nocapture

damage-test: ## Start the daemon on FILES=300 damaged databases (SEED=1): it serves requests with each of them
	STARGREY_DAMAGE_FILES=$(FILES) STARGREY_DAMAGE_SEED=$(SEED) cargo test --test it damage:: -- --nocapture

# With a nightly toolchain and cargo-fuzz, otherwise by mutated seeds alone.
fuzz: ## Feed malformed input to each parser, for SECONDS=60
	@if cargo +nightly fuzz --version >/dev/null 2>&1; then \
		for target in $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs))); do \
			mkdir -p fuzz/corpus/$$target && cargo +nightly fuzz run $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
				-max_total_time=$(SECONDS) -max_len=70000 -timeout=10 -print_final_stats=1 || exit; \
		done; \
	else \
		STARGREY_FUZZ_SECONDS=$(SECONDS) STARGREY_FUZZ_SEED=$(SEED) cargo test --release --test it fuzz:: -- --nocapture; \
	fi

bench: ## Speed, compared with a null server, Postgrey and bare LMDB: QUICK=1, PART='known 100', journal, chores, lookups, rules, builds (with STARGREYD_BEFORE=FILE), milter, milter-memory, shared, shared-instructions, shared-scale, scale or expiry
	$(if $(filter milter,$(PART)),tests/milter-greylist $(target))
	cargo bench --bench policy -- $(if $(QUICK),quick) $(PART)

clean: ## Remove all build results
	cargo clean

.PHONY: help build run install dist check check-deps check-rust check-release check-oldest check-man check-units check-scripts check-system check-i386 pictures crash-test damage-test fuzz bench clean
