# What there is to make: `make help`.

# Where `make install` lays things. DESTDIR is put before all of them.
DESTDIR     =
prefix      = /usr
bindir      = $(prefix)/bin
sbindir     = $(prefix)/sbin
datadir     = $(prefix)/share
mandir      = $(datadir)/man
unitdir     = $(prefix)/lib/systemd/system
sysusersdir = $(prefix)/lib/sysusers.d
sysconfdir  = /etc

# Which build is installed: release or debug.
profile     = release

# For `make run`.
port        = 10023
OPTIONS     =

target      = $(or $(CARGO_TARGET_DIR),target)
stage       = $(abspath $(target))/stage
bus         = org.stargrey.Greylist1
pages       = $(wildcard man/*.[1578])
scripts     = .ci/run tests/system/deps tests/system/run tests/system/claims

help: ## Show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' Makefile

build: ## Build what is installed
	cargo build --release

define question
bash -c "exec 3<>/dev/tcp/127.0.0.1/$(port); printf 'request=smtpd_access_policy\nprotocol_state=RCPT\nclient_name=unknown\nclient_address=192.0.2.1\nsender=ann@example.org\nrecipient=bob@example.net\n\n' >&3; head -n 1 <&3"
endef
export question

run: ## Try it: the daemon in the foreground, its database in a directory that goes away with it
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

# Which shell looks for its completions where, below datadir.
define completions
bash bash-completion/completions/stargreyctl
zsh zsh/site-functions/_stargreyctl
fish fish/vendor_completions.d/stargreyctl.fish
endef
export completions

install: ## Lay everything where it belongs: DESTDIR, prefix, profile …
	install -D $(target)/$(profile)/stargreyd $(DESTDIR)$(sbindir)/stargreyd
	install -D $(target)/$(profile)/stargreyctl $(DESTDIR)$(bindir)/stargreyctl
	echo "$$completions" | while read -r shell file; do \
		install -d $(DESTDIR)$(datadir)/$${file%/*} && \
		$(target)/$(profile)/stargreyctl completion $$shell >$(DESTDIR)$(datadir)/$$file && \
		chmod 644 $(DESTDIR)$(datadir)/$$file || exit; \
	done
	install -d $(DESTDIR)$(unitdir)
	for unit in stargrey.socket stargrey.service; do \
		sed 's,/usr/sbin/,$(sbindir)/,' systemd/$$unit >$(DESTDIR)$(unitdir)/$$unit || exit; \
	done
	install -D -m 644 systemd/stargrey.sysusers $(DESTDIR)$(sysusersdir)/stargrey.conf
	for list in whitelist_clients whitelist_recipients whitelist_senders s25r_exceptions; do \
		install -D -m 644 src/lists/$$list $(DESTDIR)$(sysconfdir)/stargrey/$$list || exit; \
	done
	install -D -m 644 systemd/$(bus).service $(DESTDIR)$(datadir)/dbus-1/system-services/$(bus).service
	install -D -m 644 systemd/$(bus).conf $(DESTDIR)$(datadir)/dbus-1/system.d/$(bus).conf
	install -D -m 644 systemd/$(bus).policy $(DESTDIR)$(datadir)/polkit-1/actions/$(bus).policy
	for page in $(pages); do \
		install -D -m 644 $$page $(DESTDIR)$(mandir)/man$${page##*.}/$${page##*/} || exit; \
	done
	@[ -n "$(DESTDIR)" ] || echo 'Next: systemd-sysusers && systemctl daemon-reload && systemctl enable --now stargrey.socket'

check: check-deps check-rust check-man check-units check-scripts check-system ## All that must hold before a change is taken

check-deps: ## Install what the checks need (Debian, as root)
	tests/system/deps

check-rust: ## Format, lints, tests, documentation
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --no-deps
	cargo test

check-man: ## The manual pages, to the last warning
	$(if $(pages),mandoc -T lint -W warning $(pages))

# The units are looked at as installed, so that the program they name is there. verify has no exit
# status for a mere warning; 15 is an exposure of 1.5 out of 10.
check-units: ## The units: correct, and shut in
	cargo build
	rm -rf $(stage)
	@$(MAKE) --no-print-directory install DESTDIR= prefix=$(stage) sysconfdir=$(stage)/etc profile=debug >/dev/null
	@complaints=$$(systemd-analyze verify --man=no $(stage)/lib/systemd/system/stargrey.* 2>&1); \
		[ -z "$$complaints" ] || { echo "$$complaints"; exit 1; }
	@if report=$$(systemd-analyze security --no-pager --offline=yes --threshold=15 $(stage)/lib/systemd/system/stargrey.service); \
		then echo "$$report" | tail -n 1; else echo "$$report"; exit 1; fi

check-scripts: ## The shell scripts
	if command -v shellcheck >/dev/null; then shellcheck $(scripts); fi

check-system: ## A small Debian is booted with stargrey in it (as root)
	cargo build
	tests/system/run

bench: ## Speed, beside a null server, Postgrey and bare LMDB: QUICK=1, PART='known 100' or PART=scale
	cargo bench --bench policy -- $(if $(QUICK),quick) $(PART)

clean: ## Remove all that was built
	cargo clean

.PHONY: help build run install check check-deps check-rust check-man check-units check-scripts check-system bench clean
