//! `kestrel fmt`

use std::os::unix::fs::PermissionsExt;

use super::{Place, QUERY, SIGMA, rule};

fn untidy() -> String {
    rule("r", "process where event.action==\"exec\" // why\n and process.name==\"nc\"")
}

#[test]
fn files_are_rewritten_once_and_keep_comments_and_mode() {
    let place = Place::with(&[("r.toml", &untidy()), ("tidy.toml", &rule("t", QUERY))]);
    let path = place.path().join("r.toml");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let done = place.kestrel(&["fmt", "--check", "."]);
    assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (1, "./r.toml\n", ""));
    assert_eq!(place.read("r.toml"), untidy(), "only looked at");
    let done = place.kestrel(&["fmt", "."]);
    assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (0, "", ""));
    let laid = place.read("r.toml");
    assert!(laid.contains("event.action == \"exec\" // why\n"), "{laid}");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(place.kestrel(&["fmt", "--check", "."]).code, 0, "once is enough");
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 2, "nothing is left beside");
}

#[test]
fn standard_input_goes_to_standard_output() {
    let place = Place::with(&[]);
    let done = place.fed(&["fmt", "-"], &untidy());
    assert!(done.code == 0 && done.out.contains("event.action == \"exec\""), "{}", done.err);
    assert_eq!(place.fed(&["fmt", "-"], &done.out).out, done.out);
    assert_eq!(place.fed(&["fmt", "--check", "-"], &untidy()).out, "stdin.toml\n");
}

#[test]
fn what_cannot_be_laid_out_is_left_and_said() {
    let broken = "[[rule]\n".to_owned();
    let place = Place::with(&[("r.toml", &broken), ("s.yml", SIGMA), ("ok.toml", &untidy())]);
    let done = place.kestrel(&["fmt", "r.toml", "s.yml", "ok.toml"]);
    assert_eq!(done.code, 1);
    assert!(done.err.contains("r.toml: left as it is"), "{}", done.err);
    assert!(done.err.contains("s.yml: Sigma files are not laid out"), "{}", done.err);
    assert_eq!((place.read("r.toml"), place.read("s.yml")), (broken, SIGMA.to_owned()));
    assert_ne!(place.read("ok.toml"), untidy(), "the others are");
}
