//! What is taken for a secret without being told. `docs/redaction.md` has the same list.

/// Names of options and variables whose values are secrets, whatever is put before them with `-` or
/// `_`. What ends otherwise, as `--password-file`, names no secret.
pub(super) const NAMES: &str = "password|passwd|passphrase|passcode|secret|token|credentials?|\
     api[-_]?key|access[-_]?key|secret[-_]?key|auth[-_]?key|signing[-_]?key|encryption[-_]?key|\
     session[-_]?key|account[-_]?key";
/// The same, which are ends of other words, too: they count as words of their own only.
const SHORT: &str = "pass|passin|passout|pwd|psw";

/// A value in quotes of either kind, or up to what ends a word of a shell.
pub(super) const VALUE: &str = r#"(?:"([^"]*)"|'([^']*)'|([^\s'"&|;<>()]+))"#;
/// Headers whose values are secrets.
const HEADERS: &str = "(?:proxy-)?authorization|x-api-key|x-auth-token|x-amz-security-token|\
     x-vault-token|private-token|job-token|set-cookie|cookie";

/// Patterns: the last group that takes part is the secret, all of it if there is no group.
pub(super) fn patterns() -> impl Iterator<Item = String> {
    let option = format!(
        r"(?i)(?:^|[\s'\x22])--?(?:[a-z0-9]+[-_.])*(?:{NAMES}|pass|passin|passout)(?:=|\s+){VALUE}"
    );
    // Of an argument that is `--password=it has spaces`, all of it.
    let whole = format!(r"(?i)^--?(?:[a-z0-9]+[-_.])*(?:{NAMES}|pass|passin|passout)=(.+)$");
    let variable = format!(
        r"(?i)(?:^|[^a-z0-9_])(?:[a-z0-9_]*(?:{NAMES})|[a-z0-9_]*_(?:{SHORT})|pass)=({VALUE})"
    );
    let assigned = format!(r"(?i)^(?:[a-z0-9_]*(?:{NAMES})|[a-z0-9_]*_(?:{SHORT})|pass)=(.+)$");
    let header = format!(r#"(?i)\b(?:{HEADERS})\s*:\s*([^'"\r\n]+)"#);
    let json = format!(r#"(?i)["'][a-z0-9_.-]*(?:{NAMES})["']\s*:\s*["']([^"']+)["']"#);
    let fixed = [
        r"(?i)\bbearer\s+([a-z0-9._~+/=-]{8,})",
        // The password of a URL; a name alone is none.
        r#"(?i)\b[a-z][a-z0-9+.-]*://[^\s/@:'"]*:([^\s/?#'"]+)@"#,
        // Keys of AWS: access keys, and the secret ones beside their names.
        r"\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}\b",
        r#"(?i)aws.{0,20}secret.{0,20}[=:\s]['"]?([a-z0-9/+=]{40})\b"#,
        // Tokens that tell what they are by how they begin.
        r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
        r"\bgh[pousr]_[A-Za-z0-9]{20,}",
        r"\bgithub_pat_[A-Za-z0-9_]{20,}",
        r"\bglpat-[A-Za-z0-9_-]{16,}",
        r"\bxox[abeprs]-[A-Za-z0-9-]{10,}",
        r"\bAIza[A-Za-z0-9_-]{35}",
        r"\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,}",
        r"\bhvs\.[A-Za-z0-9_-]{20,}",
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----([^-]+)",
        // Clients of databases: `-p` with the password behind it.
        r#"(?:^|[\s/'"])(?:mysql|mysqldump|mysqladmin|mysqlimport|mariadb|mariadb-dump|mariadb-admin)\s(?:[^;|&\r\n]*?\s)?-p([^\s'"]+)"#,
        r#"(?:^|[\s/'"])sshpass\s(?:[^;|&\r\n]*?\s)?-p\s*([^\s'"]+)"#,
        r#"(?:^|[\s/'"])(?:curl|wget)\s(?:[^;|&\r\n]*?\s)?(?:-u|--user|-U|--proxy-user)[\s=]*['"]?[^\s:'"]*:([^\s'"]+)"#,
    ];
    // A word of a shell that is in quotes as a whole.
    let quoted = format!(
        r#"(?i)['"](?:--?(?:[a-z0-9]+[-_.])*(?:{NAMES}|pass)|[a-z0-9_]*(?:{NAMES}))=([^'"]+)['"]"#
    );
    [option, whole, variable, assigned, header, json, quoted]
        .into_iter()
        .chain(fixed.into_iter().map(str::to_owned))
}

/// Programs of which an option that others give another meaning tells a secret: names, the option,
/// and whether only what follows a colon is secret.
pub(super) const PROGRAMS: &[(&[&str], &str, bool)] = &[
    (
        &[
            "mysql",
            "mysqldump",
            "mysqladmin",
            "mysqlimport",
            "mariadb",
            "mariadb-dump",
            "mariadb-admin",
        ],
        "-p",
        false,
    ),
    (&["sshpass"], "-p", false),
    (&["curl"], "-u", true),
    (&["curl"], "--user", true),
    (&["curl"], "-U", true),
    (&["curl"], "--proxy-user", true),
    (&["smbclient", "rpcclient", "net"], "-U", true),
    (&["ldapsearch", "ldapmodify", "ldapadd"], "-w", false),
    (&["redis-cli"], "-a", false),
    (&["snmpget", "snmpwalk"], "-A", false),
    (&["snmpget", "snmpwalk"], "-X", false),
];
