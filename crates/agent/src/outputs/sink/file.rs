//! A file of lines, rotated here or by others.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::libc;

use super::{Sent, Sink};
use crate::outputs::item::{Form, Item};
use crate::outputs::target::Target;

/// Owner may write, the group may read: collectors run as one of the group.
const MODE: u32 = 0o640;

/// The file.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    form: Form,
    rotate: u64,
    keep: u32,
    open: Option<fs::File>,
}

impl File {
    pub(super) fn new(target: &Target) -> File {
        let Target { form, rotate, keep, .. } = *target;
        File { path: PathBuf::from(&target.address), form, rotate, keep, open: None }
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        if !self.is_in_place() {
            self.open = None;
        }
        if self.open.as_ref().map_or(Ok(0), len)? >= self.rotate {
            self.rotate()?;
        }
        let file = match self.open.take() {
            Some(file) => file,
            None => open(&self.path)?,
        };
        let before = len(&file)?;
        let written = (&file).write_all(text.as_bytes()).and_then(|()| file.sync_data());
        if written.is_err() {
            // Half a line would be joined by the next one.
            file.set_len(before)?;
        }
        self.open = Some(file);
        written
    }

    /// Whether the file that is open is still the one at its path: who rotates it elsewhere renames it.
    fn is_in_place(&self) -> bool {
        let id = |about: &fs::Metadata| (about.dev(), about.ino());
        let there = fs::symlink_metadata(&self.path).ok().as_ref().map(id);
        let open = self.open.as_ref().and_then(|file| file.metadata().ok()).as_ref().map(id);
        open.is_some() && open == there
    }

    /// `a.4` becomes `a.5`, and so on down to `a`.
    fn rotate(&mut self) -> io::Result<()> {
        self.open = None;
        for number in (1..self.keep).rev() {
            rename(&numbered(&self.path, number), &numbered(&self.path, number + 1))?;
        }
        rename(&self.path, &numbered(&self.path, 1))
    }
}

impl Sink for File {
    fn send(&mut self, items: &[Item]) -> Sent {
        let mut text = String::new();
        for item in items {
            text.push_str(&self.form.of(item));
            text.push('\n');
        }
        let path = self.path.display().to_string();
        Sent::all(items.len(), self.write(&text).map_err(|error| told(&path, error)))
    }
}

/// What went wrong with which file; some errors name it themselves.
fn told(path: &str, error: io::Error) -> String {
    match error.downcast::<files::ReadError>() {
        Ok(refused) => refused.to_string(),
        Err(error) => format!("{path}: {error}"),
    }
}

fn len(file: &fs::File) -> io::Result<u64> {
    Ok(file.metadata()?.len())
}

/// No link is followed, and what is open to others is refused: who may write the directory must not choose what root writes to.
fn open(path: &Path) -> io::Result<fs::File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(MODE).custom_flags(libc::O_NOFOLLOW);
    let file = options.open(path)?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    // It holds what root alone sees otherwise, and what others could write there would be taken for alerts.
    files::check_trust(path, &about, files::Trust::Private).map_err(io::Error::other)?;
    if about.len() == 0 {
        // A unit's mask may be narrower.
        file.set_permissions(fs::Permissions::from_mode(MODE))?;
    }
    Ok(file)
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::outputs::sink::Refusal;

    fn sink(path: &Path, rotate: u64) -> File {
        let target = format!("file:{}#keep=2", path.display()).parse().unwrap();
        File { rotate, ..File::new(&target) }
    }

    fn item(number: u32) -> Item {
        Item::of(&format!("{{\"alert\":{{\"id\":\"{number}\"}}}}")).unwrap()
    }

    fn lines(path: &Path) -> usize {
        fs::read_to_string(path).map_or(0, |text| text.lines().count())
    }

    #[test]
    fn a_file_is_rotated_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let mut sink = sink(&path, 1);
        for number in 0..5 {
            assert_eq!(sink.send(&[item(number), item(number)]).done, 2);
        }
        let all = [path.clone(), numbered(&path, 1), numbered(&path, 2), numbered(&path, 3)];
        assert_eq!(all.map(|path| lines(&path)), [2, 2, 2, 0]);
        assert!(fs::read_to_string(&path).unwrap().contains("\"4\""));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
    }

    #[test]
    fn a_file_that_others_moved_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let mut sink = sink(&path, 1 << 20);
        sink.send(&[item(1)]);
        fs::rename(&path, dir.path().join("b")).unwrap();
        sink.send(&[item(2)]);
        assert_eq!((lines(&path), lines(&dir.path().join("b"))), (1, 1));
    }

    #[test]
    fn a_file_that_others_can_read_or_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, "before\n").unwrap();
        for mode in [0o666, 0o644, 0o660] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let Sent { done: 0, refusal: Some(Refusal::Later(why)) } =
                sink(&path, 1 << 20).send(&[item(1)])
            else {
                panic!("{mode:o}")
            };
            let mode = format!("mode {mode:o}");
            assert!(why.contains("a: open to others") && why.contains(&mode), "{why}");
        }
        assert_eq!(lines(&path), 1);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(sink(&path, 1 << 20).send(&[item(1)]), Sent { done: 1, refusal: None });
        if nix::unistd::geteuid().is_root() {
            nix::unistd::chown(&path, Some(65534.into()), None).unwrap();
            let sent = sink(&path, 1 << 20).send(&[item(1)]);
            assert!(
                matches!(sent.refusal, Some(Refusal::Later(why)) if why.contains("owner 65534"))
            );
        }
    }

    #[test]
    fn a_link_is_not_followed_and_what_fails_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        symlink(dir.path().join("other"), &path).unwrap();
        let mut sink = sink(&path, 1 << 20);
        let Sent { done: 0, refusal: Some(Refusal::Later(why)) } = sink.send(&[item(1)]) else {
            panic!()
        };
        assert!(why.contains("symbolic links"), "{why}");
        fs::remove_file(&path).unwrap();
        assert_eq!(sink.send(&[item(1)]), Sent { done: 1, refusal: None });
        assert!(!dir.path().join("other").exists());
    }
}
