//! The guide says what the command really prints: its files are written, its commands run, their
//! output compared. `UPDATE_EXPECT=1` writes the real output into the guide instead.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::Path;
use std::process::Command;

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/kestrel.md");
/// What all keys are called in what is shown: real ones are made anew each time.
const KEY: &str = "4C2A0F1D6B7E8890";

/// Runs a line of a console block as a shell does, standard error with standard output.
fn shell(line: &str, directory: &Path) -> String {
    let kestrel = Path::new(env!("CARGO_BIN_EXE_kestrel")).parent().unwrap();
    let path = format!("{}:{}", kestrel.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("sh");
    command.args(["-c", &format!("umask 022; exec 2>&1\n{line}")]).current_dir(directory);
    let done = command.env("PATH", path).env("NO_COLOR", "1").output().unwrap();
    let mut text = masked(&String::from_utf8(done.stdout).unwrap());
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// The text with each id of a minisign key replaced.
fn masked(text: &str) -> String {
    let is_digit = |one: char| one.is_ascii_digit() || ('A'..='F').contains(&one);
    let mut rest = text;
    let mut out = String::new();
    while !rest.is_empty() {
        let digits = rest.find(|one| !is_digit(one)).unwrap_or(rest.len());
        let end = digits.max(rest.chars().next().map_or(0, char::len_utf8));
        out.push_str(if digits == KEY.len() { KEY } else { &rest[..end] });
        rest = &rest[end..];
    }
    out
}

/// A block of the guide: what follows the fence, and its lines.
fn block<'g>(lines: &mut impl Iterator<Item = &'g str>) -> String {
    let mut text = String::new();
    for line in lines.take_while(|line| *line != "```") {
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// The block with the real output below each command.
fn played(block: &str, directory: &Path) -> String {
    let mut text = String::new();
    let mut lines = block.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(command) = line.strip_prefix("$ ") else { continue };
        let mut command = command.to_owned();
        text.push_str(line);
        text.push('\n');
        while command.ends_with('\\') {
            let more = lines.next().unwrap_or_default();
            text.extend([more, "\n"]);
            command.extend(["\n", more]);
        }
        text.push_str(&shell(&command, directory));
    }
    text
}

/// The guide with real output, and how many commands it has.
fn replayed(guide: &str) -> (String, usize) {
    let directory = tempfile::tempdir().unwrap();
    let (mut text, mut commands) = (String::new(), 0);
    let mut lines = guide.lines();
    while let Some(line) = lines.next() {
        text.extend([line, "\n"]);
        let Some(info) = line.strip_prefix("```") else { continue };
        let given = block(&mut lines);
        if let Some((_, name)) = info.split_once(" file=") {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, &given).unwrap();
        }
        if info == "console" {
            commands += given.lines().filter(|line| line.starts_with("$ ")).count();
            text.push_str(&played(&given, directory.path()));
        } else {
            text.push_str(&given);
        }
        text.push_str("```\n");
    }
    (text, commands)
}

/// The page says what its commands print; it has at least so many of them.
fn is_true(page: &str, least: usize) {
    let page = Path::new(GUIDE).with_file_name(page);
    let guide = fs::read_to_string(&page).unwrap();
    let (real, commands) = replayed(&guide);
    assert!(commands >= least, "{commands} commands");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(page, real).unwrap();
        return;
    }
    let differs = guide.lines().zip(real.lines()).position(|(said, is)| said != is);
    if let Some(at) = differs.or((guide.len() != real.len()).then_some(guide.lines().count())) {
        let of = |text: &str| text.lines().skip(at).take(3).collect::<Vec<_>>().join("\n");
        panic!("line {}: the guide says\n{}\nand it is\n{}", at + 1, of(&guide), of(&real));
    }
}

#[test]
fn the_guide_shows_what_the_command_prints() {
    is_true("kestrel.md", 15);
}

#[test]
fn the_page_on_packs_shows_what_the_command_prints() {
    is_true("packs.md", 15);
}

#[test]
fn the_rule_files_on_other_pages_are_sound_and_their_tests_pass() {
    for page in ["rules.md", "../README.md"] {
        let text = fs::read_to_string(Path::new(GUIDE).with_file_name(page)).unwrap();
        let mut lines = text.lines();
        lines.find(|line| *line == "```toml").unwrap();
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("r.toml"), block(&mut lines)).unwrap();
        let said = shell("kestrel check r.toml && kestrel test r.toml", directory.path());
        assert!(said.contains("1 rules in 1 files: 0 errors, 0 warnings\n"), "{page}: {said}");
        assert!(said.contains("2 tests: 2 passed, 0 failed"), "{page}: {said}");
    }
}

#[test]
fn each_command_is_in_the_guide() {
    let guide = fs::read_to_string(GUIDE).unwrap();
    let help = shell("kestrel --help", Path::new("."));
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.map_while(|line| line.split_whitespace().next());
    let commands: Vec<&str> = commands.filter(|command| *command != "help").collect();
    assert!(commands.contains(&"explain") && commands.len() >= 10, "{commands:?}");
    for command in commands {
        assert!(guide.contains(&format!("kestrel {command} ")), "{command} is not shown");
    }
}

#[test]
fn a_false_line_in_a_guide_is_found() {
    let said = "x\n```console\n$ echo a; echo b >&2\na\nc\n```\n";
    let (real, commands) = replayed(said);
    assert_eq!((real.as_str(), commands), ("x\n```console\n$ echo a; echo b >&2\na\nb\n```\n", 1));
    assert_eq!(replayed(&real).0, real, "and what is true stays");
}
