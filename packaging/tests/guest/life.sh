# The life of the Debian package on a host that runs: installed, started by systemd, the first alert, the first denial, upgraded while
# somebody tries what is denied all the time, purged. `old.deb` has an agent with other maps, `new.deb` one with other programs; with the
# word `few` only the first upgrade is done.
# shellcheck shell=sh
# shellcheck disable=SC2154 # what run.sh sets

# Every path that a package could leave, with type, mode and owner, and who there is.
state() {
	find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /srv -o -path /var/lib/dpkg \
		-o -path /var/lib/apt -o -path /var/log -o -path /var/cache -o -path /var/lib/systemd -o -path /var/tmp \) -prune \
		-o -printf '%y %m %u %g %p\n' | grep -v -e ' /etc/group-$' -e ' /etc/gshadow-$' -e ' /etc/passwd-$' -e ' /etc/shadow-$' | sort
	cat /etc/group /etc/gshadow /etc/passwd /etc/shadow
}

# What is called after the agent, anywhere, also in the kernel.
named() {
	find / /run /tmp /dev/shm /sys/fs/bpf /sys/fs/cgroup -xdev -name '*aegis*' -not -path "$here/*"
}

is_nameless() {
	[ -z "$(named)" ]
}

install_package() {
	apt-get install -qq -y --allow-downgrades -o APT::Sandbox::User=root "$here/$1" > "$work/apt" 2>&1 ||
		fail "$2: apt-get ended with $?: $(tail -n 3 "$work/apt")"
}

installed() {
	[ -z "$(named)" ] || fail "install: the guest is not clean: $(named | head -n 3)"
	install_package old.deb install
	[ "$(systemctl is-active aegisbpf)" = active ] || fail "install: the unit is $(systemctl is-active aegisbpf)"
	[ "$(systemctl is-enabled aegisbpf)" = enabled ] || fail "install: the unit is not started with the host"
	named | grep -q '^/sys/fs/cgroup/system.slice/aegisbpf.service$' || fail "install: it has no cgroup of its own"
	tell_tier
	pass "install: the unit is active"
}

confined() {
	guard=$(pid_of guard) worker=$(pid_of worker)
	[ "$guard" = "$(systemctl show -P MainPID aegisbpf)" ] || fail "confinement: systemd takes another process for the guard than $guard"
	[ "$(status_line "$worker" Uid | cut -f 1)" = "$(id -u aegisbpf)" ] || fail "confinement: the worker is not the user aegisbpf"
	[ "$(status_line "$worker" CapEff)" = 0000000000000000 ] || fail "confinement: the worker has capabilities"
	for process in "$guard" "$worker"; do
		[ "$(status_line "$process" Seccomp)" = 2 ] || fail "confinement: $process has no filter of system calls"
		[ "$(status_line "$process" NoNewPrivs)" = 1 ] || fail "confinement: $process may gain privileges"
	done
	aegisbpf status -o json | grep -q '"seccomp": "lists"' || fail "confinement: the worker has no list of system calls"
	pass "confinement: guard and worker are under their lists, the worker is its own user"
}

first_alert() {
	/usr/bin/sleep 0.1
	cp /usr/bin/sleep /tmp/x && /tmp/x 0.1
	within 10 has_alert "$rule" /tmp/x || fail "alert: nothing is told of a program in /tmp: $(aegisbpf alerts | tail -n 3)"
	if has_alert "$rule" /usr/bin/sleep; then fail "alert: the same is told of a program of the system"; fi
	within 10 sh -c "journalctl -u aegisbpf -o cat | grep -F '\"kind\":\"alert\"' | grep -qF '\"$rule\"'" || fail "alert: the journal has none"
	pass "alert: a program in /tmp is told, one of the system is not"
}

first_denial() {
	make_vault
	aegisbpf policy apply "$work/vault.yaml" > "$work/said" 2>&1 || fail "denial: the policy is refused: $(cat "$work/said")"
	grep -q 'tier lsm' "$work/said" || fail "denial: LSM programs load and do not decide: $(cat "$work/said"; aegisbpf policy show -o json | grep "no LSM")"
	cat /srv/vault/recipe > "$work/said" 2>&1 || fail "denial: without --enforce it is denied: $(cat "$work/said")"
	within 10 has_alert not-for-cat "would be denied" || fail "denial: what would be denied is not told"
	cp /usr/share/doc/aegisbpf/examples/20-enforce.toml /etc/aegisbpf/config.d/
	systemctl restart aegisbpf || fail "denial: it does not start with --enforce"
	is_denied || fail "denial: cat comes to: $(cat /srv/vault/recipe 2>&1)"
	[ "$(head -n 1 /srv/vault/recipe)" = "the recipe" ] || fail "denial: head is denied, too"
	ls -d /sys/fs/bpf/aegisbpf/layout-* > "$work/layout" || fail "denial: nothing is pinned"
	pass "denial: cat is refused with EPERM, head is not"
}

# Tries it until it is told to end; `alone` are refusals while no agent had a socket.
hammer() {
	while [ -e "$work/hammer" ]; do
		before=$([ -S /run/aegisbpf/control.sock ] && echo agent)
		if said=$(cat /srv/vault/recipe 2>&1); then
			echo through
		elif [ "$said" != "$refusal" ]; then
			echo "odd: $said"
		elif [ -z "$before" ] && [ ! -S /run/aegisbpf/control.sock ]; then
			echo alone
		else
			echo denied
		fi
		[ "$(head -n 1 /srv/vault/recipe 2>&1)" = "the recipe" ] || echo "odd: head is denied"
	done
}

answers() {
	grep -c "^$1" "$work/answers"
}

upgraded() {
	file=$1 what=$2
	guard=$(pid_of guard) version=$(dpkg-query -W -f '${Version}' aegisbpf)
	touch "$work/hammer"
	hammer > "$work/answers" 2>&1 &
	hammering=$!
	within 10 test -s "$work/answers" || fail "upgrade to $what: nobody hammers"
	install_package "$file" "upgrade to $what"
	[ "$(systemctl is-active aegisbpf)" = active ] || fail "upgrade to $what: the unit is $(systemctl is-active aegisbpf)"
	within 10 is_denied
	sleep 1
	rm "$work/hammer"
	wait "$hammering"
	[ "$(answers through)" = 0 ] || fail "upgrade to $what: it got through $(answers through) times, and was denied $(answers denied)"
	[ "$(answers odd)" = 0 ] || fail "upgrade to $what: $(grep '^odd' "$work/answers" | head -n 1)"
	[ "$(answers alone)" -gt 0 ] || fail "upgrade to $what: nobody tried while no agent ran, so that nothing is shown"
	dpkg --compare-versions "$(dpkg-query -W -f '${Version}' aegisbpf)" gt "$version" || fail "upgrade to $what: the version is still $version"
	[ "$(pid_of guard)" != "$guard" ] || fail "upgrade to $what: the old agent still runs"
	cmp -s "/proc/$(pid_of guard)/exe" /usr/bin/aegisbpf || fail "upgrade to $what: another program runs than was installed"
	ls -d /sys/fs/bpf/aegisbpf/layout-* > "$work/layout-now"
	if [ "$what" = "other maps" ]; then
		cmp -s "$work/layout" "$work/layout-now" && fail "upgrade to $what: the maps are those from before"
	else
		cmp -s "$work/layout" "$work/layout-now" || fail "upgrade to $what: the maps are others"
	fi
	mv "$work/layout-now" "$work/layout"
	pass "upgrade to $what: denied $(answers denied) times with an agent, $(answers alone) without, through 0 times"
}

purged() {
	[ -n "$(named)" ] || fail "purge: nothing is called after the agent while it runs, so that nothing can be found missing"
	apt-get purge -qq -y aegisbpf > "$work/apt" 2>&1 || fail "purge: apt-get ended with $?: $(tail -n 3 "$work/apt")"
	grep -i -e warning -e 'not empty' "$work/apt" && fail "purge: dpkg has something to say"
	[ "$(cat /srv/vault/recipe 2>&1)" = "the recipe" ] || fail "purge: it is still denied"
	pgrep -l aegisbpf && fail "purge: there is a process"
	getent passwd aegisbpf && fail "purge: there is the user"
	getent group aegisbpf && fail "purge: there is the group"
	systemctl list-units --all --no-legend 'aegisbpf*' | grep . && fail "purge: systemd knows a unit"
	systemctl list-unit-files --no-legend 'aegisbpf*' | grep . && fail "purge: there is a file of a unit"
	marks && fail "purge: there are marks of fanotify"
	within 5 is_nameless
	[ -z "$(named)" ] || fail "purge: $(named | head -n 5)"
	state > "$work/after"
	diff "$work/before" "$work/after" || fail "purge: something is left, or gone that was there before"
	pass "purge: no pin, process, cgroup, mark, unit, file, user or group is left"
}

rule=execution-from-temporary-directory
state > "$work/before"
installed
confined
first_alert
first_denial
upgraded this.deb "other maps"
if [ "${1:-}" != few ]; then upgraded new.deb "other programs"; fi
/tmp/x 0.1
within 10 has_alert "$rule" /tmp/x || fail "after: no alert any more"
pass "after: the upgraded agent tells of programs in /tmp"
purged
