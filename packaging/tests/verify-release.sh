#!/bin/sh
# `scripts/verify-release` with a local pair of keys: what is genuine passes, and what is changed in one thing is refused for
# that reason. What it asks of cosign for a public release needs the public log; a stand-in writes down the question.
set -eu

script=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

fail() {
	echo "FAIL verify-release: $*"
	cat said 2> /dev/null || true
	exit 1
}

# What is to be said when it refuses.
refuses() {
	reason=$1
	shift
	if run "$@" > said 2>&1; then fail "$* passed"; fi
	grep -q "$reason" said || fail "refused, but not since: $reason"
}

pair() {
	openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"
	openssl ec -in "$1.key" -pubout -out "$1.pub" 2> /dev/null
}

pair ours
pair other
file=aegisbpf-0.0.0-x86_64.tar.gz
echo release > "$file"
openssl dgst -sha256 -sign ours.key "$file" | openssl base64 -A > "$file.sig"

# The check by openssl, wherever cosign may be installed.
mkdir bare
for tool in sh openssl mktemp rm grep cat; do ln -s "$(command -v "$tool")" bare/; done
run() {
	PATH="$scratch/bare" "$script" "$@"
}

run --key ours.pub "$file" > said 2>&1 || fail "the control does not pass"
grep -q "^ok $file" said || fail "it does not say what passed"
refuses "not by this key" --key other.pub "$file"
refuses "takes cosign\|certificate $file.pem is missing" "$file"
echo more >> "$file"
refuses "the file was changed" --key ours.pub "$file"
mv "$file.sig" away
refuses "signature $file.sig is missing" --key ours.pub "$file"
refuses "no such file" --key ours.pub nothing
mv away "$file.sig"

# What cosign is asked, and that its answer counts.
echo certificate > "$file.pem"
refuses "takes cosign" "$file"
cat > bare/cosign << EOF
#!/bin/sh
printf '%s\\n' "\$@" > $scratch/asked
exit "\$(cat $scratch/answer)"
EOF
chmod +x bare/cosign
echo 0 > answer
run "$file" > said 2>&1 || fail "what cosign accepts does not pass"
tr '\n' ' ' < asked > line
expected="verify-blob --certificate $file.pem --signature $file.sig --certificate-identity-regexp "
grep -qF "$expected" line || fail "cosign was asked: $(cat line)"
grep -qF -- "--certificate-oidc-issuer https://token.actions.githubusercontent.com $file" line || fail "$(cat line)"
echo 1 > answer
refuses "not what the release workflow built" "$file"
echo "ok verify-release"
