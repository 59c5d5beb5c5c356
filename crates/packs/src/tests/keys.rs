//! The directory of keys.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::given::*;
use crate::{Code, Ring};

fn opened(files: &[(&str, &[u8])], then: impl Fn(&Path)) -> Result<Ring, Vec<crate::Refusal>> {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    then(dir.path());
    Ring::open(dir.path(), &trust(""))
}

#[test]
fn keys_of_both_formats_are_read_and_other_files_are_not() {
    let pen = Pen::new();
    let ssh =
        b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti me";
    let files: &[(&str, &[u8])] =
        &[("a.pub", &pen.public()), ("b.pub", ssh), ("README", b"x"), ("a.key", b"x")];
    let ring = opened(files, |_| {}).unwrap();
    let ids: Vec<&str> = ring.ids().into_iter().map(crate::KeyId::as_str).collect();
    assert_eq!(ids.len(), 2, "{ids:?}");
    assert!(ids.contains(&pen.id().as_str()), "{ids:?}");
    assert!(ids.iter().any(|id| id.starts_with("SHA256:")), "{ids:?}");
}

#[test]
fn what_cannot_be_a_key_or_is_not_the_operators_is_refused() {
    let pen = Pen::new();
    let key = pen.public();
    let all = |mode| {
        move |dir: &Path| {
            fs::set_permissions(dir.join("a.pub"), fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    let one: &[(&str, &[u8])] = &[("a.pub", &key)];
    assert_eq!(codes(opened(one, all(0o644))), [], "the control");
    assert_eq!(codes(opened(one, all(0o664))), [Code::Writable]);
    let open_up = |dir: &Path| {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o777)).unwrap();
    };
    assert_eq!(codes(opened(one, open_up)), [Code::Writable]);
    let link = |dir: &Path| symlink("/etc/hostname", dir.join("b.pub")).unwrap();
    assert_eq!(codes(opened(one, link)), [Code::NotRegular]);
    for text in ["", "no key", "untrusted comment: x\nAAAA\n", "ssh-rsa AAAA x", "ssh-ed25519 AA x"]
    {
        let found = codes(opened(&[("a.pub", text.as_bytes())], |_| {}));
        assert_eq!(found, [Code::Key], "{text:?}");
    }
    let twice: &[(&str, &[u8])] = &[("a.pub", &key), ("b.pub", &key)];
    assert_eq!(codes(opened(twice, |_| {})), [Code::Key], "one key under two names");
    let missing = Ring::open(Path::new("/no/such/keys"), &trust(""));
    assert_eq!(codes(missing), [Code::Unreadable]);
}

#[test]
fn an_introduction_must_be_by_a_known_key_over_the_very_file() {
    let (old, new, third) = (Pen::new(), Pen::new(), Pen::new());
    let (old_key, new_key) = (old.public(), new.public());
    let with = |signature: Vec<u8>| {
        let files: &[(&str, &[u8])] =
            &[("a.pub", &old_key), ("b.pub", &new_key), ("b.pub.minisig", &signature)];
        codes(opened(files, |_| {}))
    };
    assert_eq!(with(old.sign(&new_key)), [], "the control");
    assert_eq!(with(third.sign(&new_key)), [Code::UnknownKey], "nobody here");
    assert_eq!(with(new.sign(&new_key)), [Code::UnknownKey], "itself");
    assert_eq!(with(old.sign(&third.public())), [Code::BadSignature], "another key");
    assert_eq!(with(b"x".to_vec()), [Code::Malformed]);
}

#[test]
fn introductions_make_a_chain_of_bounded_length() {
    let pens: Vec<Pen> = (0..crate::limits::MAX_CHAIN + 2).map(|_| Pen::new()).collect();
    let mut files = vec![("0.pub".to_owned(), pens[0].public())];
    for (number, pair) in pens.windows(2).enumerate() {
        let key = pair[1].public();
        files.push((format!("{}.pub.minisig", number + 1), pair[0].sign(&key)));
        files.push((format!("{}.pub", number + 1), key));
    }
    let found = codes(Ring::read(&files, &trust("")));
    assert_eq!(found, [Code::Key], "the last one is too far away");
    let last = files.len() - 2;
    assert_eq!(codes(Ring::read(&files[..last], &trust(""))), []);
}
