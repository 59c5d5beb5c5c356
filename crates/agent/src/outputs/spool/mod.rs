//! The spool: alerts on disk until every output has had its turn, and no longer than the bounds allow.
//!
//! It is a directory of segments. A segment is a file of lines whose name is the number of its first line, so lines are
//! numbered without being read, and a gap has a size. Whoever reads keeps a place: a segment, and how far.

mod read;
mod write;

pub(crate) use read::{Place, Reader};
pub(crate) use write::Spool;

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Dir, Mode, OFlags, openat};

/// What the name of a segment ends with.
const ENDING: &str = "jsonl";
/// Digits of the first line in it, so that names sort as numbers.
const DIGITS: usize = 20;
/// Bytes of a line: as many as may wait in the worker's queue to the spool.
pub(crate) const LINE_MAX: usize = 4 << 20;

/// Entries of the directory: a writer of ours leaves some forty.
const ENTRIES_MAX: usize = 4_096;

/// What the segment that begins with this line is called.
fn name(first: u64) -> String {
    format!("{first:0DIGITS$}.{ENDING}")
}

/// Its path.
fn segment(dir: &Path, first: u64) -> PathBuf {
    dir.join(name(first))
}

/// Opens the directory. The writer has fewer rights than the reader, so it is no link to another one.
fn directory(dir: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(CWD, dir, flags, Mode::empty())?)
}

/// The first lines of all segments, in order.
fn segments(dir: &Path) -> io::Result<Vec<u64>> {
    let mut all = Vec::new();
    for (count, entry) in Dir::new(directory(dir)?)?.enumerate() {
        if count >= ENTRIES_MAX {
            return Err(io::Error::other(format!("it has more than {ENTRIES_MAX} entries")));
        }
        let entry = entry?;
        let stem = entry.file_name().to_str().ok().and_then(|name| name.strip_suffix(ENDING));
        let digits = stem.and_then(|stem| stem.strip_suffix('.'));
        all.extend(
            digits.filter(|one| one.len() == DIGITS).and_then(|one| one.parse::<u64>().ok()),
        );
    }
    all.sort_unstable();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::time::Duration;

    use nix::libc;

    use super::*;
    use crate::cli::record::History;

    fn bounds(bytes: u64) -> History {
        History { bytes, age: Duration::from_hours(1) }
    }

    fn lines(reader: &mut Reader) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let batch = reader.batch().unwrap();
            if batch.is_empty() {
                return all;
            }
            for (line, place) in batch {
                reader.advance(place);
                all.push(line);
            }
        }
    }

    #[test]
    fn what_is_written_is_read_once_and_goes_on_where_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(dir.path(), bounds(4 << 20)).unwrap();
        spool.write("{\"a\":1}\n{\"a\":2}\n").unwrap();
        let mut reader = Reader::new(dir.path(), Place::default());
        assert_eq!(lines(&mut reader), ["{\"a\":1}", "{\"a\":2}"]);
        let place: Place = reader.place().to_string().parse().unwrap();
        drop(spool);
        let mut spool = Spool::open(dir.path(), bounds(4 << 20)).unwrap();
        spool.write("{\"a\":3}\n").unwrap();
        let mut reader = Reader::new(dir.path(), place);
        assert_eq!(lines(&mut reader), ["{\"a\":3}"]);
        assert_eq!((reader.place().line, reader.take_lost()), (3, 0));
        let mode = fs::metadata(segment(dir.path(), 0)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "nobody else reads alerts");
    }

    #[test]
    fn no_link_of_the_writer_leads_the_reader_elsewhere() {
        let scratch = tempfile::tempdir().unwrap();
        let (real, link) = (scratch.path().join("real"), scratch.path().join("link"));
        fs::create_dir(&real).unwrap();
        fs::write(segment(&real, 0), "{\"a\":1}\n").unwrap();
        symlink(&real, &link).unwrap();
        let refused = |dir| Reader::new(dir, Place::default()).batch().unwrap_err().raw_os_error();
        assert_eq!(refused(&link), Some(libc::ENOTDIR), "a link in place of the directory");
        let secret = scratch.path().join("secret");
        fs::rename(segment(&real, 0), &secret).unwrap();
        symlink(&secret, segment(&real, 0)).unwrap();
        assert_eq!(refused(&real), Some(libc::ELOOP), "a link in place of a segment");
        fs::rename(&secret, segment(&real, 0)).unwrap();
        let mut reader = Reader::new(&real, Place::default());
        assert_eq!(lines(&mut reader), ["{\"a\":1}"], "the control");
    }

    #[test]
    fn what_is_not_the_writers_is_not_read() {
        if !rustix::process::geteuid().is_root() {
            println!("SKIP what_is_not_the_writers_is_not_read: it needs root");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = segment(dir.path(), 0);
        fs::write(&path, "{\"a\":1}\n").unwrap();
        let mut reader = Reader::new(dir.path(), Place::default());
        assert_eq!(lines(&mut reader).len(), 1, "the control");
        // A second name of a file of root, in a directory of the writer.
        std::os::unix::fs::chown(dir.path(), Some(65_534), None).unwrap();
        let refused = Reader::new(dir.path(), Place::default()).batch().unwrap_err();
        assert!(refused.to_string().contains("no file of who writes the spool"), "{refused}");
    }

    #[test]
    fn a_torn_line_is_cut_and_no_reader_sees_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(segment(dir.path(), 0), "{\"a\":1}\n{\"a\":").unwrap();
        let mut reader = Reader::new(dir.path(), Place::default());
        assert_eq!(lines(&mut reader), ["{\"a\":1}"], "its end may still come");
        let mut spool = Spool::open(dir.path(), bounds(4 << 20)).unwrap();
        spool.write("{\"a\":2}\n").unwrap();
        assert_eq!(lines(&mut reader), ["{\"a\":2}"]);
        assert_eq!(reader.place().line, 2);
    }

    #[test]
    fn the_oldest_lines_go_when_there_is_no_room_and_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(dir.path(), bounds(4 << 20)).unwrap();
        let mut reader = Reader::new(dir.path(), Place::default());
        let wide = "x".repeat(1 << 10);
        spool.write(&format!("0{wide}\n")).unwrap();
        assert_eq!(lines(&mut reader).len(), 1, "read, so not lost later");
        for number in 1..8_000 {
            spool.write(&format!("{number}{wide}\n")).unwrap();
        }
        let sizes = segments(dir.path()).unwrap();
        let sum: u64 =
            sizes.iter().map(|one| fs::metadata(segment(dir.path(), *one)).unwrap().len()).sum();
        assert!(sum <= 4 << 20, "{sum} bytes on disk");
        let mut reader = Reader::new(dir.path(), reader.place());
        let left = lines(&mut reader);
        let lost = reader.take_lost();
        assert!(lost > 0 && !left.is_empty());
        assert_eq!(1 + lost + left.len() as u64, 8_000, "each is read or counted");
        let first: u64 = left[0].trim_end_matches('x').parse().unwrap();
        assert_eq!(first, lost + 1, "the oldest are those that went");
        assert_eq!(reader.backlog(), 0);
    }

    #[test]
    fn a_spool_that_begins_anew_is_read_from_its_beginning() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(dir.path(), bounds(4 << 20)).unwrap();
        spool.write("{\"a\":1}\n").unwrap();
        let place = Place { segment: 70, at: 5, line: 90 };
        let mut reader = Reader::new(dir.path(), place);
        assert_eq!((lines(&mut reader), reader.take_lost()), (vec!["{\"a\":1}".to_owned()], 0));
    }
}
