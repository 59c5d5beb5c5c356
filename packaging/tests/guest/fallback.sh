# The package where BPF is built in and not among the LSMs (`lsm=`), as on many hosts: programs of LSM attach there and are never asked, so
# nothing may go by them. What is denied is denied by fanotify, as long as an agent runs.
# shellcheck shell=sh
# shellcheck disable=SC2154 # what run.sh sets

rule=execution-from-temporary-directory

is_fallback() {
	[ "$(tell_tier)" = "TIER fallback" ]
}

installed() {
	well install dpkg --unpack "$here/this.deb"
	cp /usr/share/doc/aegisbpf/examples/20-enforce.toml /etc/aegisbpf/config.d/
	well install dpkg --configure aegisbpf
	[ "$(systemctl is-active aegisbpf)" = active ] || fail "install: the unit is $(systemctl is-active aegisbpf)"
	within 10 is_fallback || fail "install: $(tell_tier), where no program of LSM is ever asked"
	tell_tier
	pass "install: the unit is active"
}

first_alert() {
	cp /usr/bin/sleep /tmp/x && /tmp/x 0.1
	within 15 has_alert "$rule" /tmp/x || fail "alert: nothing is told of a program in /tmp: $(aegisbpf alerts | tail -n 3)"
	pass "alert: a program in /tmp is told"
}

first_denial() {
	make_vault
	well denial aegisbpf policy apply "$work/vault.yaml"
	grep -q 'tier fallback' "$work/said" || fail "denial: it is not the fallback tier: $(cat "$work/said")"
	is_denied || fail "denial: cat comes to: $(cat /srv/vault/recipe 2>&1)"
	[ "$(head -n 1 /srv/vault/recipe)" = "the recipe" ] || fail "denial: head is denied, too"
	[ -n "$(marks)" ] || fail "denial: it is not fanotify that denies it"
	pass "denial: cat is refused with EPERM, head is not"
}

started_again() {
	systemctl restart aegisbpf || fail "restart: the unit does not start"
	within 10 is_denied || fail "restart: cat comes to: $(cat /srv/vault/recipe 2>&1)"
	systemctl stop aegisbpf || fail "stop: systemd says no"
	[ "$(cat /srv/vault/recipe 2>&1)" = "the recipe" ] || fail "stop: it is denied without an agent"
	[ -z "$(marks)" ] || fail "stop: there are marks of fanotify"
	pass "restart: it is denied again, and no more when the agent is stopped"
}

installed
first_alert
first_denial
started_again
