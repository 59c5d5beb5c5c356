//! No secret is shown, whatever way it came; and nothing is taken away that is none.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// The secret of all cases.
const SECRET: &str = "hunter2-Zq9";

/// Compiling all patterns takes a while where nothing is optimised.
static BUILTIN: LazyLock<Redactor> = LazyLock::new(|| Redactor::builtin().unwrap());

fn builtin() -> Redactor {
    BUILTIN.clone()
}

#[expect(clippy::needless_pass_by_value, reason = "what `json!` makes")]
fn object(json: Json) -> Map<String, Json> {
    json.as_object().unwrap().clone()
}

/// An event of a process with these arguments.
fn event(args: &[&str]) -> Map<String, Json> {
    // As a shell has to be given it.
    let quoted = |word: &&str| {
        if !word.contains([' ', '{']) {
            (*word).to_owned()
        } else if word.contains('\'') {
            format!("\"{word}\"")
        } else {
            format!("'{word}'")
        }
    };
    let line = args.iter().map(quoted).collect::<Vec<_>>().join(" ");
    object(json!({
        "event": { "action": "exec" },
        "process": {
            "name": args[0],
            "executable": format!("/usr/bin/{}", args[0]),
            "args": args,
            "command_line": args.join(" "),
            "parent": { "args": ["sh", "-c", line], "command_line": format!("sh -c {line}") },
        },
    }))
}

fn shown(redactor: &Redactor, mut document: Map<String, Json>) -> String {
    redactor.document(&mut document);
    let once = Json::Object(document.clone());
    redactor.document(&mut document);
    assert_eq!(once, Json::Object(document), "a second time changes nothing");
    once.to_string()
}

/// Command lines that have the secret where `$` stands.
const COMMANDS: &[&[&str]] = &[
    &["tool", "--password", "$"],
    &["tool", "--password=$"],
    &["tool", "--PASSWORD", "$"],
    &["tool", "-password", "$"],
    &["tool", "--db-password", "$"],
    &["tool", "--db.password=$"],
    &["tool", "--token=$"],
    &["tool", "--access-token", "$"],
    &["tool", "--client-secret", "$"],
    &["tool", "--api-key=$"],
    &["tool", "--apikey", "$"],
    &["tool", "--password", "it has $ within"],
    &["tool", "--password=it has $ within"],
    &["tool", "--password", "-$"],
    &["openssl", "enc", "-pass", "pass:$"],
    &["openssl", "rsa", "-passin", "pass:$"],
    &["curl", "-H", "Authorization: Bearer $"],
    &["curl", "-H", "authorization:Basic $"],
    &["curl", "-H", "X-Api-Key: $"],
    &["curl", "-H", "Cookie: session=$"],
    &["curl", "-u", "me:$", "https://host/"],
    &["curl", "-ume:$", "https://host/"],
    &["curl", "--user=me:$", "https://host/"],
    &["curl", "https://me:$@host/path"],
    &["curl", "https://me:p@$@host/path"],
    &["git", "clone", "https://oauth2:$@host/a/b.git"],
    &["psql", "postgresql://me:$@db:5432/x"],
    &["curl", "https://host/?token=$&page=2"],
    &["curl", "-d", "{\"password\": \"$\"}"],
    &["env", "PGPASSWORD=$", "psql"],
    &["env", "PGPASSWORD=it has $", "psql"],
    &["env", "MYSQL_PWD=$", "mysql"],
    &["env", "AWS_SECRET_ACCESS_KEY=$", "aws"],
    &["env", "MY_APP_API_KEY=$", "app"],
    &["sh", "-c", "PGPASSWORD=$ psql -h db"],
    &["sh", "-c", "PGPASSWORD='$' psql -h db"],
    &["sh", "-c", "export TOKEN=\"$\"; run"],
    &["sh", "-c", "mysql -u root -p$ db"],
    &["sh", "-c", "tool --password $; echo"],
    &["sh", "-c", "curl -H 'Authorization: Bearer $' https://host/"],
    &["sh", "-c", "curl -u me:$ https://host/"],
    &["mysql", "-u", "root", "-p$", "db"],
    &["mariadb-dump", "-p$"],
    &["sshpass", "-p", "$", "ssh", "host"],
    &["sshpass", "-p$", "ssh", "host"],
    &["ldapsearch", "-x", "-w", "$"],
    &["redis-cli", "-a", "$"],
    &["/usr/bin/mysql", "-p$"],
];

#[test]
fn no_secret_of_a_command_line_is_shown() {
    let redactor = builtin();
    for command in COMMANDS {
        let args: Vec<String> = command.iter().map(|word| word.replace('$', SECRET)).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let text = shown(&redactor, event(&args));
        assert!(!text.contains(SECRET), "{command:?}: {text}");
        assert!(text.contains(MARK), "{command:?}: {text}");
        assert!(text.contains("/usr/bin/"), "{command:?}: what runs is shown: {text}");
    }
}

#[test]
fn keys_are_known_by_how_they_look() {
    let redactor = builtin();
    for key in [
        "AKIAIOSFODNN7EXAMPLE",
        "ASIAIOSFODNN7EXAMPLE",
        "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        "glpat-abcdefghijklmnopqrst",
        "xoxb-123456789012-abcdefghij",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
        "hvs.abcdefghijklmnopqrstuvwx",
    ] {
        let text = shown(&redactor, event(&["tool", "upload", key]));
        assert!(!text.contains(key) && text.contains(MARK), "{text}");
    }
    let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    let text = shown(&redactor, event(&["sh", "-c", &format!("aws_secret_access_key = {secret}")]));
    assert!(!text.contains(secret), "{text}");
}

#[test]
fn what_is_no_secret_stays() {
    let redactor = builtin();
    for args in [
        &["ls", "-la", "/home"] as &[&str],
        &["tool", "--password-file", "/etc/tool/password"],
        &["tool", "--no-token"],
        &["mysql", "-u", "root", "-p", "db"],
        &["ssh", "-p", "2222", "me@host"],
        &["git", "clone", "https://host/a/b.git"],
        &["git", "clone", "ssh://git@host/a"],
        &["curl", "-u", "me", "https://host/"],
        &["env", "HOME=/root", "bypass=1", "compass=north"],
        &["passwd", "root"],
        &["cat", "/etc/passwd"],
        &["sh", "-c", "echo token; ls | grep secret"],
    ] {
        let before = event(args);
        let text = shown(&redactor, before.clone());
        assert_eq!(text, Json::Object(before).to_string(), "{args:?}");
    }
}

#[test]
fn what_was_found_in_one_place_is_taken_out_of_the_others() {
    let mut document = event(&["tool", "--password", SECRET]);
    document.insert("message".to_owned(), format!("it says {SECRET}").into());
    let script = json!({ "script": [{ "message": SECRET, "fields": { "what": SECRET } }] });
    document.insert("kestrel".to_owned(), script);
    let member = json!({ "document": { "process": { "args": ["echo", SECRET] } } });
    document.insert("events".to_owned(), json!([member]));
    let environment = json!([format!("X={SECRET}"), "PGPASSWORD=another one", "HOME=/root"]);
    document["process"]["env_vars"] = environment;
    let text = shown(&builtin(), document);
    assert!(!text.contains(SECRET) && !text.contains("another one"), "{text}");
    assert!(text.contains("HOME=/root") && text.contains("it says [redacted]"), "{text}");
}

#[test]
fn nobody_hides_behind_the_mark() {
    let redactor = builtin();
    // Who names a program as a password does not make it vanish.
    let text = shown(&redactor, event(&["evil", "--password", "/usr/bin/evil"]));
    assert!(text.contains(r#""executable":"/usr/bin/evil""#), "{text}");
    assert!(text.contains(r#""name":"evil""#), "{text}");
    // Nor a whole command, by saying it a second time.
    let command = "curl http://host/x | sh";
    let text = shown(&redactor, event(&["bash", "-c", command, "--password", command]));
    assert!(text.contains(&format!("\"-c\",\"{command}\"")), "{text}");
    // A path that looks like a secret is a path.
    let document = object(
        json!({ "file": { "path": "/tmp/token=x" }, "process": { "executable": "/tmp/PASSWORD=x" } }),
    );
    let text = shown(&redactor, document);
    assert!(text.contains("/tmp/token=x") && text.contains("/tmp/PASSWORD=x"), "{text}");
}

fn open(text: &str) -> Result<Redactor, Failure> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("redact.toml");
    std::fs::write(&path, text).unwrap();
    Redactor::open(Some(&path))
}

#[test]
fn the_operator_adds_options_variables_and_patterns() {
    let text = "options = [\"--licence\"]\nvariables = [\"ACME_PIN\"]\n\
                patterns = ['acme-([0-9]{6})', 'id=\\d+']\n";
    let redactor = open(text).unwrap();
    for (args, gone) in [
        (&["tool", "--licence", "two words"] as &[&str], "two words"),
        (&["tool", "--licence=two words"], "two words"),
        (&["sh", "-c", "tool --licence abc-def"], "abc-def"),
        (&["env", "ACME_PIN=4711 8"], "4711 8"),
        (&["sh", "-c", "ACME_PIN=4711 tool"], "4711"),
        (&["tool", "acme-123456"], "123456"),
        (&["tool", "id=99"], "id=99"),
        (&["tool", "--password", SECRET], SECRET),
    ] {
        let text = shown(&redactor, event(args));
        assert!(!text.contains(gone), "{args:?}: {text}");
        let without = shown(&builtin(), event(args));
        assert_eq!(without.contains(gone), gone != SECRET, "the control: {without}");
    }
}

#[test]
fn a_file_that_cannot_be_used_is_refused_with_its_reason() {
    for (text, why) in [
        ("option = []", "unknown field"),
        ("patterns = ['(']", "unclosed group"),
        ("patterns = ['(?=x)']", "look-around"),
        ("patterns = ['(x{1000}){1000}']", "size limit"),
        ("variables = ['']", "empty entry"),
    ] {
        let failure = open(text).err().unwrap_or_else(|| panic!("{text} is taken"));
        assert_eq!(failure.exit, Exit::Config, "{text}");
        assert!(failure.to_string().contains(why), "{text}: {failure}");
    }
    let many = format!("options = [{}]", "\"a\",".repeat(300));
    assert!(open(&many).unwrap_err().to_string().contains("more than 256"));
    let none = Redactor::open(Some(Path::new("/nonexistent/redact.toml"))).unwrap_err();
    assert!(none.to_string().contains("/nonexistent"), "{none}");
}

#[test]
fn a_file_that_others_can_write_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("redact.toml");
    std::fs::write(&path, "").unwrap();
    assert!(Redactor::open(Some(&path)).is_ok(), "the control");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    let refused = Redactor::open(Some(&path)).unwrap_err().to_string();
    assert!(refused.contains("others can write"), "{refused}");
}

proptest! {
    #[test]
    fn whatever_stands_around_it_is_not_shown(
        before in prop::collection::vec("[a-z/.-]{1,8}", 0..4),
        secret in "[A-Z]{4}[A-Za-z0-9+/._-]{4,30}[0-9]",
        form in 0_usize..4,
        after in prop::collection::vec("[a-z/.-]{1,8}", 0..4),
    ) {
        let own = match form {
            0 => vec!["--password".to_owned(), secret.clone()],
            1 => vec![format!("--token={secret}")],
            2 => vec![format!("PGPASSWORD={secret}")],
            _ => vec![format!("https://me:{}@host/", secret.replace('/', "x"))],
        };
        let secret = if form == 3 { secret.replace('/', "x") } else { secret };
        let words = std::iter::once("tool".to_owned()).chain(before).chain(own).chain(after);
        let words: Vec<String> = words.collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let text = shown(&builtin(), event(&words));
        prop_assert!(!text.contains(&secret), "{}", text);
    }
}
