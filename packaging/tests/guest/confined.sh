# The functions of the agent one after the other, as the package has it, with the profile (`apparmor`) or the policy (`selinux`) in force that
# is shipped: all of them work, and the kernel logs no denial. Then something that the profile forbids is denied and logged, so that silence says something.
# shellcheck shell=sh
# shellcheck disable=SC2154 # what run.sh sets

by=$1
rule=execution-from-temporary-directory

# What the kernel logged that was denied to the agent, and to what comes with it.
denials() {
	case $by in
	apparmor) dmesg | grep -F 'apparmor="DENIED"' | grep -F 'profile="aegisbpf' ;;
	selinux) dmesg | grep -F 'avc:  denied' | grep -F 'scontext=system_u:system_r:aegisbpf' ;;
	esac
}

# Receivers of what the agent tells others: a syslog that takes all, and one that answers what comes by HTTP.
receivers() {
	echo "127.0.0.1 localhost" >> /etc/hosts
	systemd-socket-activate --accept --inetd -l 0.0.0.0:6514 tee -a "$work/syslog" > "$work/receivers" 2>&1 &
	perl "$here/receive.pl" 8080 "$work/posted" >> "$work/receivers" 2>&1 &
}

# As docs/install.md has it, but that the agent is confined from its first start on.
confined() {
	case $by in
	apparmor)
		well install dpkg --unpack "$here/this.deb"
		cp /usr/share/aegisbpf/apparmor/usr.bin.aegisbpf /etc/apparmor.d/
		well profile apparmor_parser -r /etc/apparmor.d/usr.bin.aegisbpf
		context='aegisbpf (enforce)'
		;;
	selinux)
		[ "$(getenforce)" = Enforcing ] || fail "policy: SELinux is $(getenforce)"
		cp "$here/aegisbpf.pp" /root/
		# It may write to no file of ours, but tell somebody who does.
		{ semodule -i /root/aegisbpf.pp 2>&1 && echo taken; } | cat > "$work/semodule" &
		module=$!
		well install dpkg --unpack "$here/this.deb"
		wait "$module"
		grep -qx taken "$work/semodule" || fail "policy: it is not taken: $(cat "$work/semodule")"
		well labels restorecon -R /usr/bin/aegisbpf /usr/lib/systemd/system/aegisbpf.service /etc/aegisbpf /etc/hosts
		context=system_u:system_r:aegisbpf_t:s0
		;;
	esac
	cp /usr/share/doc/aegisbpf/examples/20-enforce.toml "$here/agent.toml" /etc/aegisbpf/config.d/
	well install dpkg --configure aegisbpf
}

# What a process is confined by.
context_of() {
	tr -d '\0' < "/proc/$1/attr/current"
}

enforced() {
	receivers
	confined
	[ "$(systemctl is-active aegisbpf)" = active ] || fail "$by: the unit is $(systemctl is-active aegisbpf)"
	for process in $(pid_of guard) $(pid_of worker); do
		[ "$(context_of "$process")" = "$context" ] || fail "$by: $process is $(context_of "$process")"
	done
	tell_tier
	pass "$by: guard and worker are under it, enforced"
}

alerts() {
	cp /usr/bin/sleep /tmp/x && /tmp/x 0.1
	within 15 has_alert "$rule" /tmp/x || fail "alerts: nothing is told of a program in /tmp"
	for received in /var/log/aegisbpf/alerts.json "$work/syslog" "$work/posted"; do
		within 15 grep -qsF "$rule" "$received" || fail "outputs: $received has no alert: $(tail -n 3 "$work/receivers"; aegisbpf status | grep -i -A 5 output)"
	done
	within 15 sh -c "journalctl -o json | grep -F AEGISBPF | grep -F $rule > /dev/null" ||
		fail "outputs: the journal has no alert: $(journalctl -o json | grep -F "$rule" | head -n 1 | cut -c 1-600)"
	pass "alerts: told, and in four outputs"
}

# Whether curl gets through to the receiver at an address; if it does not, only because of us.
connects() {
	if said=$(curl -sSv --max-time 10 "http://$1:8080/" 2>&1); then return 0; fi
	echo "$said" | grep -q 'Operation not permitted' || fail "policies: curl says of $1: $said"
	return 1
}

refuses_connections() {
	! connects 127.0.0.2 && ! connects 127.0.0.1
}

policies() {
	make_vault
	well policies aegisbpf policy plan "$work/vault.yaml" "$here/peers.yaml"
	well policies aegisbpf policy apply "$work/vault.yaml"
	grep -q 'tier lsm' "$work/said" || fail "policies: $(cat "$work/said"; aegisbpf policy show -o json | grep 'no LSM')"
	is_denied || fail "policies: cat comes to: $(cat /srv/vault/recipe 2>&1)"
	[ "$(head -n 1 /srv/vault/recipe)" = "the recipe" ] || fail "policies: head is denied, too"
	connects 127.0.0.2 || fail "policies: nobody denies it to connect yet"
	well policies aegisbpf policy apply "$work/vault.yaml" "$here/peers.yaml"
	within 15 refuses_connections || fail "policies: curl connects by address or by name: $(aegisbpf policy show)"
	connects 127.0.0.3 || fail "policies: an address is denied that is in no policy"
	well policies aegisbpf policy rollback --reason "a test"
	connects 127.0.0.2 || fail "policies: what was rolled back holds"
	is_denied || fail "policies: after the rollback cat comes to: $(cat /srv/vault/recipe 2>&1)"
	pass "policies: planned, files and peers are denied, and rolled back"
}

exceptions() {
	well exceptions aegisbpf allow add /srv/vault/recipe --ttl 1h --reason "a test"
	[ "$(cat /srv/vault/recipe 2>&1)" = "the recipe" ] || fail "exceptions: it is denied in spite of the exception"
	well exceptions aegisbpf allow del allow-1 --reason "a test"
	is_denied || fail "exceptions: without the exception it is allowed"
	echo "open" > /srv/open
	well blocks aegisbpf block add /srv/open --ttl 1h --reason "a test"
	said=$(head -n 1 /srv/open 2>&1) && fail "blocks: what is blocked is read"
	case $said in *'Operation not permitted') ;; *) fail "blocks: $said" ;; esac
	well blocks aegisbpf block del block-1 --reason "a test"
	[ "$(head -n 1 /srv/open 2>&1)" = open ] || fail "blocks: it stays blocked"
	pass "exceptions: allowed by one and denied without it, blocked and unblocked"
}

# The number of the newest action of a rule, if it is done.
action_of() {
	aegisbpf actions | awk -v "rule=$1" '{ for (i = 4; i < NF; i++) if ($i == rule && $(i + 1) == "done") id = $1 } END { print id }'
}

is_done() {
	[ -n "$(action_of "$1")" ]
}

undone() {
	well responses aegisbpf actions rollback "$(action_of "$1")" --reason "a test"
}

is_state() {
	case $(status_line "$1" State) in "$2"*) ;; *) return 1 ;; esac
}

is_cut_off() {
	aegisbpf isolate status | grep -q ' left'
}

is_not_cut_off() {
	! is_cut_off
}

# Starts a program of a rule's own; the process is $acted.
acts() {
	mkdir -p /srv/acts
	cp /usr/bin/sleep "/srv/acts/$1"
	"/srv/acts/$1" 300 2> /dev/null &
	acted=$!
}

responses() {
	cp "$here/responses.toml" "$here/named.luau" /etc/aegisbpf/rules.d/
	well reload aegisbpf reload
	acts killed
	wait "$acted"
	[ $? = 137 ] || fail "responses: the program was not killed: $(aegisbpf actions)"
	acts asked && acts told && acts kept && acts stopped
	mkdir /sys/fs/cgroup/cut-off
	cp /usr/bin/sleep /srv/acts/cut-off
	sh -c 'echo $$ > /sys/fs/cgroup/cut-off/cgroup.procs && exec /srv/acts/cut-off 300' &
	echo late > /srv/late
	tail /srv/late > "$work/said" 2>&1 || fail "responses: the first time it is denied: $(cat "$work/said")"
	for id in killed stopped cut-off told late kept; do
		within 20 is_done "$id" || fail "responses: $id is not done: $(aegisbpf actions)"
	done
	within 10 has_alert asked /srv/acts/asked || fail "responses: the script was not asked"
	grep -qF '"told"' "$work/posted" || fail "responses: nobody was told: $(tail -n 3 "$work/posted")"
	said=$(tail /srv/late 2>&1) && fail "responses: what came too late is not denied afterwards"
	case $said in *'Operation not permitted') ;; *) fail "responses: late: $said" ;; esac
	is_state "$acted" T || fail "responses: it is not stopped: $(status_line "$acted" State)"
	is_cut_off || fail "responses: nothing is cut off: $(aegisbpf isolate status)"
	undone stopped && undone cut-off
	within 10 is_state "$acted" S || fail "responses: it does not go on: $(status_line "$acted" State)"
	within 10 is_not_cut_off || fail "responses: it stays cut off: $(aegisbpf isolate status)"
	pass "responses: killed, stopped, cut off, told, denied from then on, kept, and undone; a script is asked"
}

# What an operator asks of it, and does without it.
figures() {
	aegisbpf record /root/taken.rec --for 3s > "$work/recorded" 2>&1 &
	recording=$!
	sleep 1
	/tmp/x 0.1
	aegisbpf metrics | grep -q '^aegisbpf_' || fail "metrics: none"
	well incidents aegisbpf incidents
	well top aegisbpf top -o json
	wait "$recording" || fail "record: $(cat "$work/recorded")"
	well replay kestrel replay /root/taken.rec --verify --rules /usr/lib/aegisbpf/rules --rules /etc/aegisbpf/rules.d
	grep -q '^live  *[1-9]' "$work/said" || fail "replay: a program in /tmp was not found: $(cat "$work/said")"
	well simulate aegisbpf policy simulate --recording /root/taken.rec "$here/nothing-of-tmp.yaml"
	grep -qF /tmp/x "$work/said" || fail "simulate: a program in /tmp would not have been denied: $(cat "$work/said")"
	systemctl reload aegisbpf || fail "reload: systemd says no"
	well audit aegisbpf audit verify
	pass "figures: metrics, incidents, a recording that is replayed and simulated, the audit log is whole"
}

# The pages in a browser, and the figures for Prometheus from the unit that comes for it.
pages() {
	aegisbpf console --listen unix:/run/console.sock > "$work/console" 2>&1 &
	console=$!
	within 15 grep -qs 'token=' "$work/console" || fail "console: it has no address: $(cat "$work/console")"
	token=$(sed -n 's/.*token=//p' "$work/console")
	page() { curl -sS -b "$work/jar" -c "$work/jar" --unix-socket /run/console.sock "http://localhost$1"; }
	page "/login?token=$token" > "$work/said" 2>&1 || fail "console: $(cat "$work/said")"
	page /alerts | grep -qF /tmp/x || fail "console: its page has no alert: $(page /alerts | head -c 600)"
	kill "$console"
	cp /usr/share/aegisbpf/prometheus/aegisbpf-metrics.service /etc/systemd/system/
	systemctl daemon-reload
	systemctl start aegisbpf-metrics || fail "metrics: the unit does not start"
	within 15 curl -sf -o "$work/said" http://127.0.0.1:9435/metrics || fail "metrics: no answer: $(systemctl status aegisbpf-metrics)"
	grep -q '^aegisbpf_' "$work/said" || fail "metrics: $(head -n 5 "$work/said")"
	if [ "$by" = selinux ]; then
		context_of "$(systemctl show -P MainPID aegisbpf-metrics)" | grep -q ':aegisbpf_metrics_t:' || fail "metrics: the unit is not confined"
	fi
	systemctl stop aegisbpf-metrics
	pass "pages: the console, and the figures at an address"
}

emergency() {
	well emergency aegisbpf emergency disable --reason "a test"
	[ "$(cat /srv/vault/recipe 2>&1)" = "the recipe" ] || fail "emergency: it is still denied"
	well emergency aegisbpf emergency enable --reason "a test"
	is_denied || fail "emergency: nothing is denied afterwards"
	pass "emergency: enforcement is switched off and on"
}

# A program that runs as its owner, who is somebody else.
make_miner() {
	cp /usr/bin/sleep "$1"
	chown nobody:nogroup "$1"
	chmod 4755 "$1"
}

is_gone() {
	[ ! -e "$1" ]
}

# The mode, owner and, where there is one, label of a file.
about() {
	stat -c '%a %U' "$1"
	if [ "$by" = selinux ]; then stat -c %C "$1"; fi
}

# As docs/install.md has it for rules that move files: one on the filesystem of the agent's state, and one on another.
quarantine() {
	case $by in
	apparmor)
		cp /usr/share/aegisbpf/apparmor/quarantine /etc/apparmor.d/local/usr.bin.aegisbpf
		well profile apparmor_parser -r /etc/apparmor.d/usr.bin.aegisbpf
		;;
	selinux) well quarantine setsebool aegisbpf_quarantine on ;;
	esac
	install -D -m 644 /usr/share/doc/aegisbpf/examples/quarantine.conf /etc/systemd/system/aegisbpf.service.d/quarantine.conf
	systemctl daemon-reload
	kill -9 "$(pid_of worker)"
	within 30 sh -c 'aegisbpf status -o json | grep -q "\"restarts\": 1"' || fail "the worker is not started again"
	systemctl restart aegisbpf || fail "it does not start again"
	is_denied || fail "after a restart cat comes to: $(cat /srv/vault/recipe 2>&1)"
	pass "life: the worker and the agent are started again"
	for miner in /srv/miner /dev/shm/miner; do
		make_miner "$miner"
		about "$miner" > "$work/about"
		"$miner" 0.1
		within 20 is_gone "$miner" || fail "quarantine: $miner stays: $(aegisbpf actions; aegisbpf audit tail | tail -n 4)"
		within 20 is_done taken || fail "quarantine: $miner is not done: $(aegisbpf actions)"
		undone taken
		within 20 test -e "$miner" || fail "quarantine: $miner is not given back: $(aegisbpf audit tail | tail -n 4)"
		about "$miner" | cmp -s - "$work/about" || fail "quarantine: $miner was $(cat "$work/about"), and is $(about "$miner")"
		rm "$miner"
	done
	pass "quarantine: files are moved aside, and given back as they were"
}

# What is not allowed is denied and logged: a recording where the agent keeps none.
forbidden() {
	case $by in
	apparmor) aa-exec -p aegisbpf -- /usr/bin/aegisbpf record /root/forbidden.rec --for 1s ;;
	selinux)
		# The service manager starts it, so it is in the agent's domain.
		printf '[Service]\nType=oneshot\nExecStart=/usr/bin/aegisbpf record /root/forbidden.rec --for 1s\n' > /etc/systemd/system/forbidden.service
		systemctl daemon-reload
		systemctl start forbidden
		;;
	esac > "$work/said" 2>&1
}

silent() {
	[ -z "$(denials)" ] || fail "silence: $(denials | wc -l) denials: $(denials | head -n 20)"
	pass "silence: nothing was denied"
	# Who may move files aside may write them; without that it may not.
	case $by in
	apparmor) rm /etc/apparmor.d/local/usr.bin.aegisbpf && well profile apparmor_parser -r /etc/apparmor.d/usr.bin.aegisbpf ;;
	selinux) well control setsebool aegisbpf_quarantine off ;;
	esac
	forbidden && fail "control: what is forbidden goes through"
	[ -n "$(denials)" ] || fail "control: what is forbidden is not logged: $(cat "$work/said"; journalctl -u forbidden | tail -n 5)"
	[ ! -e /root/forbidden.rec ] || fail "control: the file is there"
	pass "control: a file outside of its own is denied and logged"
}

enforced
alerts
policies
exceptions
responses
figures
pages
emergency
quarantine
silent
