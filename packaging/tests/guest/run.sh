#!/bin/sh
# Runs one of the scripts beside it in a guest that is a whole system. What is told goes to the serial line, one line a case: `ok CASE`,
# or `FAIL CASE: why`, with which it ends. Run by systemd: run.sh SCRIPT [WORD…]
set -u
here=$(dirname "$0")
script=$1
shift
work=/run/guest-work
mkdir -p "$work"
export DEBIAN_FRONTEND=noninteractive LC_ALL=C HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
passed=0

# Each with the seconds since the kernel began.
pass() {
	passed=$((passed + 1))
	echo "ok $* ($(cut -d ' ' -f 1 /proc/uptime) s)"
}

# What the agent and the kernel said before is told with the reason.
fail() {
	echo "FAIL $*"
	journalctl -u aegisbpf -n 60 --no-pager -o short-monotonic | cut -c 1-400 | sed 's/^/  agent | /'
	dmesg | grep -e 'DENIED' -e 'avc: ' -e 'type=1326' | tail -n 40 | cut -c 1-400 | sed 's/^/  kernel | /'
	echo "RESULT FAIL after $passed cases"
	exit 1
}

# Waits at most so many seconds until a command succeeds.
within() {
	read -r up _ < /proc/uptime
	end=$((${up%.*} + $1))
	shift
	until "$@"; do
		read -r up _ < /proc/uptime
		[ "${up%.*}" -le "$end" ] || return 1
		sleep 0.1
	done
}

# The process of the guard or the worker.
pid_of() {
	aegisbpf status -o json | sed -n "/\"$1\"/,/}/s/.*\"pid\": \\([0-9]*\\).*/\\1/p" | head -n 1
}

# A command that the operator gives; what it says is kept, and told if it fails.
well() {
	what=$1
	shift
	"$@" > "$work/said" 2>&1 || fail "$what: $* ended with $?: $(tail -n 20 "$work/said")"
}

# Groups of fanotify with marks; the agent is the only one here that has them.
marks() {
	grep -l '^fanotify' /proc/[0-9]*/fdinfo/* 2> /dev/null
}

# Whether an alert of this rule was told that has this word.
has_alert() {
	aegisbpf alerts -o json | grep -F "\"$1\"" | grep -qF "\"$2\""
}

# Asked of the agent: `aegisbpf doctor` would load and attach everything once more.
tell_tier() {
	echo "TIER $(aegisbpf status -o json | sed -n 's/^ *"tier": "\(.*\)".*/\1/p' | head -n 1)"
}

# One line of the status of a process.
status_line() {
	sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status"
}

# What is denied is refused by our hook: a file that is not there, or that nobody may read, has other words.
refusal='cat: /srv/vault/recipe: Operation not permitted'
is_denied() {
	if said=$(cat /srv/vault/recipe 2>&1); then return 1; fi
	[ "$said" = "$refusal" ]
}

# A directory that a policy keeps from `cat`, as in docs/getting-started.md.
make_vault() {
	mkdir -p /srv/vault
	echo "the recipe" > /srv/vault/recipe
	cp "$here/vault.yaml" "$work/vault.yaml"
}

echo
echo "GUEST $(uname -r)"
# The kernel would leave out what is logged quickly, and with it what is looked for.
echo 0 > /proc/sys/kernel/printk_ratelimit
# shellcheck source=/dev/null
. "$here/$script.sh"
echo "RESULT ok $passed cases of $script${1:+ $1}"
