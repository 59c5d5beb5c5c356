#!/bin/sh
# Ordinary work of a Linux host, for recording a stream of events: builds, git, find, packages, a
# web server under load, ssh and su. Each round does other work than the one before, so that the
# stream does not repeat itself. Usage: workload.sh SCRATCH REPOSITORY ROUND
set -u
scratch=$1 repository=$2 round=$3
mkdir -p "$scratch"
cd "$scratch" || exit 1

# A C project with configure script: thousands of short processes, then the compiler.
build() {
    for source in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/libbpf-sys-*/; do
        [ -d "$source" ] || continue
        rm -rf c && cp -r "$source" c
        (cd c/zlib && sh ./configure --prefix="$scratch/out" && make -j2 "CFLAGS=-O1 -DROUND=$round" libz.a && make install)
        (cd c/libbpf/src && make "CFLAGS=-O1 -DROUND=$round" BUILD_STATIC_ONLY=y -j2)
        [ $((round % 2)) = 0 ] && (cd c/elfutils && [ -x configure ] && ./configure --prefix="$scratch/out" --disable-debuginfod)
        break
    done
}

# History, branches and garbage of a real repository.
history() {
    rm -rf g && git clone -q "$repository" g && cd g || return
    git config user.name bench && git config user.email bench@localhost
    git log --stat -n $((20 + round)) >log.txt
    for commit in $(git log --format=%h --skip=$((round * 7)) -n 25); do
        git checkout -q "$commit" && git status --short && git diff --stat HEAD~1 && wc -l Cargo.toml
    done
    git checkout -q -b "topic-$round" && echo "$round" >note && git add note && git commit -qm "note $round"
    git gc -q; git grep -n "fn round" >found.txt
    cd "$scratch" || exit 1
}

# Searches by people and by cron jobs.
search() {
    find /usr/share/doc -name "*[$round]*" -newer /etc/hostname -exec stat -c %n {} \;
    find /usr/include -name '*.h' -size -4k | tail -n +$((round * 40)) | head -n 250 | while read -r file; do
        grep -c "define" "$file"; basename "$file"; sha256sum "$file"
    done
    find /etc /var/log -type f -mtime -30 -exec ls -l {} +
    find / -xdev -perm -4000 -type f 2>/dev/null
    for pid in /proc/[0-9]*; do cat "$pid/comm"; readlink "$pid/exe"; done
    ps aux; df -h; id; uname -a; ss -tlnp; last; w
}

# Packages: list, query, take apart, pack again.
packages() {
    for name in $(dpkg-query -W -f '${Package}\n' | tail -n +$((round * 12)) | head -n 12); do
        dpkg -L "$name" | head -n 40 | while read -r file; do [ -f "$file" ] && md5sum "$file"; done
        dpkg -s "$name"; apt-cache policy "$name"
    done
    rm -rf deb && mkdir -p "deb/p/DEBIAN" deb/p/usr/share/doc/p && date >deb/p/usr/share/doc/p/README
    printf 'Package: p%s\nVersion: %s\nArchitecture: all\nMaintainer: b <b@localhost>\nDescription: b\n' "$round" "$round" >deb/p/DEBIAN/control
    dpkg-deb -b deb/p deb/p.deb && dpkg -i deb/p.deb && dpkg -r "p$round"
    tar czf src.tgz g && rm -rf untar && mkdir untar && tar xzf src.tgz -C untar
    python3 -m venv --without-pip "venv" && venv/bin/python -c 'import json, ssl, urllib.request, sqlite3'
    find untar -name '*.rs' | head -n 200 | xargs -n 1 wc -l
}

# A web server with scripts that start processes, and clients.
web() {
    command -v nginx >/dev/null || return
    mkdir -p www logs && for page in 1 2 3 4 5 6 7 8; do head -c $((page * 900)) /dev/urandom | base64 >"www/$page.html"; done
    printf 'pid %s/nginx.pid; error_log %s/logs/error; worker_processes 2; events {}\nhttp { access_log %s/logs/access; server { listen 127.0.0.1:18080; root %s/www; location /api { proxy_pass http://127.0.0.1:18081; } } }\n' \
        "$scratch" "$scratch" "$scratch" "$scratch" >nginx.conf
    chmod 755 "$scratch"; nginx -c "$scratch/nginx.conf"
    mkdir -p app/cgi-bin && printf '#!/bin/sh\necho Content-type: text/plain\necho\ndate; hostname; grep -c . /etc/passwd; ls /tmp | wc -l\n' >app/cgi-bin/api && chmod 755 app/cgi-bin/api
    busybox httpd -p 127.0.0.1:18081 -h app
    for n in $(seq 1 150); do
        curl -s -o /dev/null "http://127.0.0.1:18080/$((n % 9)).html?q=$round-$n" "http://127.0.0.1:18080/$((n % 7)).html"
        curl -s -o /dev/null "http://127.0.0.1:18081/cgi-bin/api?user=$n"
    done
    kill "$(cat nginx.pid)"; kill "$(ss -tlnp 2>/dev/null | sed -n 's/.*127.0.0.1:18081 .*pid=\([0-9]*\).*/\1/p' | head -n 1)"
}

# Logins, identities, scheduled work.
logins() {
    if [ -x /usr/sbin/sshd ] && command -v ssh >/dev/null; then
        mkdir -p ssh && chmod 700 ssh
        [ -f ssh/key ] || ssh-keygen -q -t ed25519 -N '' -f ssh/key
        cp ssh/key.pub ssh/authorized; mkdir -p /run/sshd
        /usr/sbin/sshd -p 18022 -h "$scratch/ssh/key" -o ListenAddress=127.0.0.1 -o PidFile="$scratch/ssh/pid" \
            -o AuthorizedKeysFile="$scratch/ssh/authorized" -o StrictModes=no -o PermitRootLogin=yes
        for n in $(seq 1 12); do
            ssh -p 18022 -i ssh/key -o StrictHostKeyChecking=no -o UserKnownHostsFile="$scratch/ssh/known" 127.0.0.1 "uptime; ls -la /home; test $n -gt $round"
        done
        kill "$(cat ssh/pid)"
    fi
    for user in nobody daemon www-data; do
        su -s /bin/sh "$user" -c 'id; env; cat /etc/hostname; ls /tmp >/dev/null'
    done
    run-parts --test /etc/cron.daily; sh -c 'umask 077; mktemp' | xargs rm -f
    perl -e 'print join ",", map { $_ * $_ } 1 .. 5' && awk -F: '{ print $1 }' /etc/passwd | sort | uniq -c | head
}

for work in history search packages web logins build; do
    $work >"$scratch/log-$work" 2>&1 </dev/null
done
