#!/bin/sh
# The image without an engine for containers: the package in a clean system whose root is read-only, with the user, the capabilities and the
# command of the recipe, and the directories as the chart mounts them. The agent starts there, its worker is its own user, and a
# policy holds for the host. Run as root: image.sh CHROOT PACKAGE CONTAINERFILE
set -eu

# What is mounted for it goes with it, and so does what it pins.
if [ -z "${IMAGE_TEST:-}" ]; then
	IMAGE_TEST=1 exec unshare --mount --propagation private "$0" "$@"
fi

root=$1
package=$2
recipe=$3
# Not on the filesystem of the clean system, which the host does not have there.
host=$(mktemp -d)
agent=
trap 'if [ -n "$agent" ]; then kill "$agent" 2> /dev/null || true; wait "$agent" || true; fi; rm -rf "$host"' EXIT

fail() {
	echo "FAIL image: $*"
	sed 's/^/    /' "$host/said" 2> /dev/null || true
	exit 1
}

inside() {
	chroot "$root" /usr/bin/aegisbpf "$@"
}

# A field of /proc/PID/status.
field() {
	awk -v name="$2:" '$1 == name { print $2 }' "/proc/$1/status"
}

dpkg -x "$package" "$root"
for table in passwd group; do
	sed -n "s|.*echo '\(.*\)' >> /tree/etc/$table.*|\1|p" "$recipe" >> "$root/etc/$table"
done
group=$(sed -n 's/^USER 0://p' "$recipe")
words=$(sed -n 's/^CMD \[\(.*\)\]$/\1/p' "$recipe" | tr -d '",')
capabilities=$(sed -n 's/^#.*--cap-add/--cap-add/p' "$recipe" | grep -o -e '--cap-add [a-z_,]*' | cut -d ' ' -f 2 | tr '\n,' '  ')
bounds=-all
for capability in $capabilities; do bounds="$bounds,+$capability"; done

for file in kept other; do echo "$file" > "$host/$file"; done
cat > "$root/etc/aegisbpf/policies.d/mine.yaml" << END
apiVersion: aegisbpf.io/v1
kind: Policy
metadata: {name: mine}
spec:
  mode: enforce
  subjects:
    head: {executable: "**/usr/bin/head"}
  rules:
    - {id: kept, subject: head, deny: read, files: ["/host$host/kept"]}
END

mkdir -p "$root/host" "$root/run/aegisbpf" "$root/var/lib/aegisbpf"
mount --bind "$root" "$root"
mount --rbind / "$root/host"
mount --rbind /proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount --rbind /sys/fs/cgroup "$root/sys/fs/cgroup"
mount -t bpf bpf "$root/sys/fs/bpf"
mount -t tmpfs -o mode=755 tmpfs "$root/var/lib/aegisbpf"
# An emptyDir is everybody's at first.
mount -t tmpfs -o mode=777 tmpfs "$root/run/aegisbpf"
mount -o remount,bind,ro "$root"
touch "$root/etc/x" 2> /dev/null && fail "the root is not read-only"

# shellcheck disable=SC2086 # words of the recipe
chroot "$root" setpriv --regid "$group" --clear-groups --no-new-privs --bounding-set "$bounds" -- \
	/usr/bin/aegisbpf $words --policy=/etc/aegisbpf/policies.d --enforce > "$host/said" 2>&1 &
agent=$!
tries=0
until inside status > /dev/null 2>&1; do
	kill -0 "$agent" 2> /dev/null || fail "the agent ended"
	tries=$((tries + 1))
	[ "$tries" -lt 120 ] || fail "the agent does not answer"
	sleep 0.5
done

user=$(sed -n 's/^aegisbpf:x:\([0-9]*\):.*/\1/p' "$root/etc/passwd")
worker=$(pgrep -P "$agent" -x aegisbpf-worker) || fail "there is no worker"
[ "$(field "$worker" Uid)" = "$user" ] || fail "the worker is user $(field "$worker" Uid) and not $user"
[ "$(field "$worker" CapEff)" = 0000000000000000 ] || fail "the worker has capabilities"
for one in "$agent" "$worker"; do
	[ "$(field "$one" Seccomp)" = 2 ] || fail "$one may make every system call"
	[ "$(field "$one" NoNewPrivs)" = 1 ] || fail "$one may gain privileges"
done
[ "$(stat -c '%g %a' "$root/run/aegisbpf/control.sock")" = "$group 660" ] || fail "the group cannot read at the control socket"

head "$host/kept" > /dev/null 2>&1 && fail "what a policy denies on the host is not denied"
for allowed in "head $host/other" "cat $host/kept"; do
	$allowed > /dev/null || fail "nobody denies it: $allowed"
done
echo "ok image"
