# The functions of the agent one after the other, as the package has it, with the profile that is shipped in force (`apparmor`): all of
# them work, and the kernel logs no denial. Then something that the profile forbids is denied and logged, so that silence says something.
# shellcheck shell=sh
# shellcheck disable=SC2154 # what run.sh sets

# What the kernel logged that the profile denied.
denials() {
	dmesg | grep -F 'apparmor="DENIED"' | grep -F 'profile="aegisbpf'
}

has_alert() {
	aegisbpf alerts -o json | grep -F "\"$1\"" | grep -qF "\"$2\""
}

enforced() {
	apt-get install -qq -y -o APT::Sandbox::User=root "$here/this.deb" > "$work/apt" 2>&1 || fail "install: $(tail -n 3 "$work/apt")"
	[ "$(systemctl is-active aegisbpf)" = active ] || fail "install: the unit is $(systemctl is-active aegisbpf)"
	cp /usr/share/aegisbpf/apparmor/usr.bin.aegisbpf /etc/apparmor.d/
	apparmor_parser -r /etc/apparmor.d/usr.bin.aegisbpf || fail "profile: it is not taken"
	cp /usr/share/doc/aegisbpf/examples/20-enforce.toml /etc/aegisbpf/config.d/
	printf '[outputs]\nto = ["file:/var/log/aegisbpf/alerts.json", "journald:"]\n' > /etc/aegisbpf/config.d/50-outputs.toml
	systemctl restart aegisbpf || fail "profile: the agent does not start under it"
	for process in $(pid_of guard) $(pid_of worker); do
		[ "$(cat "/proc/$process/attr/current")" = "aegisbpf (enforce)" ] ||
			fail "profile: $process is $(cat "/proc/$process/attr/current")"
	done
	echo "TIER $(aegisbpf doctor | sed -n 's/^tier *//p')"
	pass "profile: guard and worker are under it, enforced"
}

alerts() {
	cp /usr/bin/sleep /tmp/x && /tmp/x 0.1
	within 15 has_alert execution-from-temporary-directory /tmp/x || fail "alerts: nothing is told of a program in /tmp"
	within 15 grep -qsF execution-from-temporary-directory /var/log/aegisbpf/alerts.json || fail "outputs: the file has no alert"
	within 15 sh -c 'journalctl -o json | grep -F AEGISBPF | grep -qF execution-from-temporary-directory' ||
		fail "outputs: the journal has no alert: $(journalctl -o json | grep -F execution-from-temporary-directory | head -n 1 | cut -c 1-600)"
	pass "alerts: told, and in two outputs"
}

policies() {
	make_vault
	aegisbpf policy apply "$work/vault.yaml" > "$work/said" 2>&1 || fail "policies: refused: $(cat "$work/said")"
	grep -q 'tier lsm' "$work/said" || fail "policies: $(cat "$work/said"; aegisbpf policy show -o json | grep 'no LSM')"
	is_denied || fail "policies: cat comes to: $(cat /srv/vault/recipe 2>&1)"
	[ "$(head -n 1 /srv/vault/recipe)" = "the recipe" ] || fail "policies: head is denied, too"
	aegisbpf allow add /srv/vault/recipe --ttl 1h --reason "a test" > "$work/said" 2>&1 || fail "policies: no exception: $(cat "$work/said")"
	[ "$(cat /srv/vault/recipe 2>&1)" = "the recipe" ] || fail "policies: it is denied in spite of the exception"
	aegisbpf allow del allow-1 --reason "a test" > "$work/said" 2>&1 || fail "policies: the exception stays: $(cat "$work/said")"
	is_denied || fail "policies: without the exception it is allowed"
	pass "policies: denied, allowed by an exception, denied without it"
}

responses() {
	cp "$here/killed.toml" /etc/aegisbpf/rules.d/killed.toml
	aegisbpf reload > "$work/said" 2>&1 || fail "reload: $(cat "$work/said")"
	cp /usr/bin/sleep /srv/killed
	/srv/killed 60 2> /dev/null
	[ $? = 137 ] || fail "responses: the program was not killed: $(aegisbpf actions)"
	within 15 sh -c 'aegisbpf actions | grep -q done' || fail "responses: the action is not done: $(aegisbpf actions)"
	systemctl reload aegisbpf || fail "reload: systemd says no"
	aegisbpf audit verify > "$work/said" 2>&1 || fail "audit: $(cat "$work/said")"
	pass "responses: a process is killed, rules and configuration are read again, the audit log is whole"
}

figures() {
	aegisbpf metrics | grep -q '^aegisbpf_' || fail "metrics: none"
	aegisbpf record /root/taken.rec --for 3s > "$work/said" 2>&1 || fail "record: $(cat "$work/said")"
	[ -s /root/taken.rec ] || fail "record: it is empty"
	aegisbpf incidents > "$work/said" 2>&1 || fail "incidents: $(cat "$work/said")"
	aegisbpf top -o json > "$work/said" 2>&1 || fail "top: $(cat "$work/said")"
	aegisbpf emergency disable --reason "a test" > "$work/said" 2>&1 || fail "emergency: $(cat "$work/said")"
	[ "$(cat /srv/vault/recipe 2>&1)" = "the recipe" ] || fail "emergency: it is still denied"
	aegisbpf emergency enable --reason "a test" > "$work/said" 2>&1 || fail "emergency: $(cat "$work/said")"
	is_denied || fail "emergency: nothing is denied afterwards"
	pass "figures: metrics, a recording, incidents, the emergency switch"
}

lives_on() {
	kill -9 "$(pid_of worker)"
	within 30 sh -c 'aegisbpf status -o json | grep -q "\"restarts\": 1"' || fail "the worker is not started again"
	systemctl restart aegisbpf || fail "it does not start again"
	is_denied || fail "after a restart cat comes to: $(cat /srv/vault/recipe 2>&1)"
	pass "life: the worker and the agent are started again"
}

silent() {
	[ -z "$(denials)" ] || fail "silence: the profile denied $(denials | wc -l) times: $(denials | head -n 20)"
	pass "silence: nothing was denied"
	aa-exec -p aegisbpf -- /usr/bin/aegisbpf record /root/forbidden.rec --for 1s > "$work/said" 2>&1 && fail "control: what the profile forbids goes through"
	denials | grep -qF /root/forbidden.rec || fail "control: what is forbidden is not logged: $(cat "$work/said"; dmesg | tail -n 5)"
	[ ! -e /root/forbidden.rec ] || fail "control: the file is there"
	pass "control: a file outside of its own is denied and logged"
}

enforced
alerts
policies
responses
figures
lives_on
silent
