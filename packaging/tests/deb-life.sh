#!/bin/sh
# The life of the Debian package in a clean system: installed, used, upgraded, removed, purged. What was there before
# is there afterwards, and nothing else. Run as root: deb-life.sh CHROOT PACKAGE
set -eu

# What is mounted for it goes with it.
if [ -z "${DEB_LIFE:-}" ]; then
	DEB_LIFE=1 exec unshare --mount --propagation private "$0" "$@"
fi

root=$1
package=$2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

fail() {
	echo "FAIL deb-life: $*"
	exit 1
}

# Runs in the clean system; nobody is asked anything there.
inside() {
	DEBIAN_FRONTEND=noninteractive LC_ALL=C chroot "$root" "$@"
}

# Every path but those that dpkg keeps for itself, with type, mode and owner.
listing() {
	inside find / -xdev \( -path /proc -o -path /sys -o -path /var/lib/dpkg -o -path /var/log -o -path /var/cache -o -path /run/systemd \
		-o -path /tmp \) -prune -o -printf '%y %m %u %g %p\n' | LC_ALL=C sort
}

# Backups of the tables of users and groups are of no account; the tables are.
state() {
	listing | grep -v -e ' /etc/group-$' -e ' /etc/gshadow-$' -e ' /etc/passwd-$' -e ' /etc/shadow-$' -e ' /var/lib/systemd/deb-systemd-helper'
	cat "$root/etc/group" "$root/etc/gshadow" "$root/etc/passwd" "$root/etc/shadow"
}

enabled() {
	[ -L "$root/etc/systemd/system/multi-user.target.wants/aegisbpf.service" ]
}

mount -t proc proc "$root/proc"
state > "$scratch/before"

# An older version: the same with a lower number.
dpkg-deb -R "$package" "$scratch/tree"
sed -i 's/^Version: .*/Version: 0.0.1-1/' "$scratch/tree/DEBIAN/control"
dpkg-deb --root-owner-group -Zgzip -z1 -b "$scratch/tree" "$root/tmp/old.deb" > /dev/null
cp "$package" "$root/tmp/new.deb"

echo "# install"
inside dpkg -i /tmp/old.deb
enabled || fail "the service is not enabled after it was installed"
inside getent group aegisbpf > /dev/null || fail "there is no group aegisbpf"
inside id aegisbpf | grep -q 'groups=[0-9]*(aegisbpf)$' || fail "there is no user aegisbpf with only its own group"
[ "$(stat -c '%a %U' "$root/var/lib/aegisbpf")" = "700 root" ] || fail "the state directory is not private"
inside /usr/bin/aegisbpf version
inside /usr/bin/kestrel check /usr/lib/aegisbpf/rules | tail -n 1 | grep ' 0 errors, 0 warnings$' || fail "the shipped rules do not pass where they are installed"
inside /usr/bin/aegisbpf config check
inside cp /usr/share/doc/aegisbpf/examples/20-enforce.toml /etc/aegisbpf/config.d/
inside /usr/bin/aegisbpf config show --origin | grep 'policy.enforce.*true.*20-enforce.toml' ||
	fail "the example of enforcing does not count"
inside dpkg --verify aegisbpf | grep . && fail "files differ from what the package says"
inside systemd-analyze verify /usr/lib/systemd/system/aegisbpf.service --man=no 2> "$scratch/verify" || true
grep aegisbpf "$scratch/verify" && fail "systemd finds fault with the unit"

echo "# upgrade"
# What the operator did, and what is enforced, must outlive it.
echo '# mine' > "$root/etc/aegisbpf/rules.d/mine.toml"
echo '# mine, too' >> "$root/etc/aegisbpf/config.toml"
echo state > "$root/var/lib/aegisbpf/kept"
inside systemctl disable aegisbpf.service 2> /dev/null
mkdir -p "$root/sys/fs/bpf/aegisbpf/pin" "$root/sys/fs/bpf/aegisbpf-isolate" "$root/sys/fs/bpf/other"
inside dpkg -i /tmp/new.deb
[ "$(inside dpkg-query -W -f "\${Version}" aegisbpf)" != 0.0.1-1 ] || fail "it was not upgraded"
[ "$(cat "$root/etc/aegisbpf/rules.d/mine.toml")" = '# mine' ] || fail "the operator's rule is gone"
tail -n 1 "$root/etc/aegisbpf/config.toml" | grep -q '^# mine, too$' || fail "the operator's configuration is gone"
[ -f "$root/var/lib/aegisbpf/kept" ] || fail "the state is gone"
[ -d "$root/sys/fs/bpf/aegisbpf/pin" ] || fail "enforcement ended with the upgrade"
if enabled; then fail "the upgrade enabled what the operator had disabled"; fi

echo "# remove"
inside dpkg -r aegisbpf
[ -e "$root/usr/bin/aegisbpf" ] && fail "the program is still there"
ls -d "$root"/sys/fs/bpf/aegisbpf* 2> /dev/null && fail "pins outlived their agent"
[ -d "$root/sys/fs/bpf/other" ] || fail "pins of others are gone"
[ -f "$root/etc/aegisbpf/rules.d/mine.toml" ] || fail "removing took the operator's rule; only purging may"
[ -f "$root/var/lib/aegisbpf/kept" ] || fail "removing took the state; only purging may"

echo "# purge"
inside dpkg -P aegisbpf
rm -rf "$root/sys/fs/bpf"
state > "$scratch/after"
diff "$scratch/before" "$scratch/after" || fail "something is left, or gone that was there before"
echo "ok deb-life"
