//! Finds what was done to a log, and where it begins.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::files::{self, HEAD, HEAD_BYTES, Lines, Read};
use super::line::{self, Parsed};
use super::log::{CHECKPOINT, REMOVED};
use super::sign::Verifier;
use super::{Hash, Link, LogError};

/// What is told of one log; who changed all of it need not be told a million times.
const FINDINGS_MAX: usize = 100;

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A line is not as it was written.
    Changed,
    /// Something that is no line of this log.
    Foreign,
    /// Lines between two others are not there.
    Missing,
    /// A line comes again, or later than it was written.
    Moved,
    /// A line was written behind another one than the one that is before it.
    Rewritten,
    /// The last lines are not there.
    Cut,
    /// The first lines are not there, and no line says that they were too old.
    Headless,
    /// The file that says where the log ends is not there, or is none.
    NoHead,
    /// A signature is not that of the key.
    Signature,
    /// So many lines without a signature are none of this agent's.
    Unsigned,
}

impl Kind {
    /// Code, stable.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Kind::Changed => "A001",
            Kind::Foreign => "A002",
            Kind::Missing => "A003",
            Kind::Moved => "A004",
            Kind::Rewritten => "A005",
            Kind::Cut => "A006",
            Kind::Headless => "A007",
            Kind::NoHead => "A008",
            Kind::Signature => "A009",
            Kind::Unsigned => "A010",
        }
    }
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub kind: Kind,
    /// The file where it begins.
    pub file: PathBuf,
    /// The line in the file, from 1; behind the last one if lines are missing at the end.
    pub line: u64,
    /// The number of the line in the log, as far as it is known.
    pub seq: u64,
    /// In words.
    pub message: String,
}

/// What a log holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Whole lines.
    pub lines: u64,
    /// Number of the first and the last of them.
    pub first: u64,
    /// Where the log ends.
    pub last: Link,
    /// The last line that a signature covers.
    pub signed: Option<u64>,
    /// Bytes that a crash left behind the last line.
    pub torn: u64,
    /// What was found, by place.
    pub findings: Vec<Finding>,
    /// What was found beyond [`Report::findings`].
    pub more: u64,
}

/// Reads the whole log in a directory. With a key, signatures are asked for at least every
/// `2 * signed_every` lines.
///
/// # Errors
/// If a file cannot be read.
pub fn verify(
    directory: &Path,
    key: Option<&Verifier>,
    signed_every: u64,
    mut seen: impl FnMut(u64),
) -> Result<Report, LogError> {
    let head = head(directory)?;
    let mut walk = Walk {
        key,
        head,
        signed_every,
        report: Report::default(),
        at: (directory.join(files::NEWEST), 0),
        before: None,
        began: None,
        removed: BTreeMap::new(),
        unsigned: 0,
    };
    for line in Lines::of(directory)? {
        let (file, number, read) = line?;
        walk.at = (file, number);
        walk.line(&read);
        seen(walk.report.lines);
    }
    walk.begin();
    walk.end(directory);
    Ok(walk.report)
}

/// Where the log ends, says its head; none if that is not there or says nothing.
///
/// # Errors
/// If it cannot be read.
pub fn head(directory: &Path) -> Result<Option<Link>, LogError> {
    let path = directory.join(HEAD);
    let file = match files::open(&path, fs::OpenOptions::new().read(true)) {
        Ok(file) => file,
        Err(LogError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let (mut bytes, room) = (Vec::new(), u64::try_from(HEAD_BYTES + 1).unwrap_or(u64::MAX));
    file.take(room).read_to_end(&mut bytes).map_err(LogError::io("read", &path))?;
    Ok(files::head(&bytes))
}

struct Walk<'a> {
    key: Option<&'a Verifier>,
    head: Option<Link>,
    signed_every: u64,
    report: Report,
    at: (PathBuf, u64),
    /// The line before, as it says of itself.
    before: Option<Link>,
    /// The first line, and which one it was written behind.
    began: Option<(PathBuf, Parsed)>,
    /// The last line of each file that was too old.
    removed: BTreeMap<u64, Hash>,
    unsigned: u64,
}

impl Walk<'_> {
    fn find(&mut self, kind: Kind, seq: u64, message: String) {
        if self.report.findings.len() >= FINDINGS_MAX {
            self.report.more += 1;
            return;
        }
        let (file, line) = self.at.clone();
        self.report.findings.push(Finding { kind, file, line, seq, message });
    }

    fn next_seq(&self) -> u64 {
        self.before.map_or(1, |before| before.seq.saturating_add(1))
    }

    fn line(&mut self, read: &Read) {
        let bytes = match read {
            Read::Line(bytes) => bytes,
            Read::Torn(bytes) => {
                self.report.torn = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                // Files that are not the newest were whole when the next one began.
                if !self.at.0.ends_with(files::NEWEST) {
                    self.find(
                        Kind::Foreign,
                        self.next_seq(),
                        "the file ends within a line".to_owned(),
                    );
                }
                return;
            }
            Read::TooLong(bytes) => {
                let message = format!("{bytes} bytes are no line of this log");
                return self.find(Kind::Foreign, self.next_seq(), message);
            }
        };
        let Some(parsed) = line::parse(bytes) else {
            return self.find(
                Kind::Foreign,
                self.next_seq(),
                "this is no line of this log".to_owned(),
            );
        };
        self.report.lines += 1;
        let Link { seq, hash } = parsed.link;
        if parsed.real != hash {
            let message = "its hash is not that of what it says".to_owned();
            self.find(Kind::Changed, seq, message);
        }
        match self.before {
            None => self.began = Some((self.at.0.clone(), parsed)),
            Some(before) => self.behind(&before, &parsed),
        }
        if self.head.is_some_and(|head| head.seq == seq && head.hash != hash) {
            let message = "the head knows another line of this number".to_owned();
            self.find(Kind::Rewritten, seq, message);
        }
        self.special(&parsed, bytes);
        self.before = Some(parsed.link);
        self.report.last = parsed.link;
    }

    /// Whether a line follows the one before it.
    fn behind(&mut self, before: &Link, parsed: &Parsed) {
        let (seq, expected) = (parsed.link.seq, before.seq.saturating_add(1));
        if seq > expected {
            let message = match seq - expected {
                1 => format!("line {expected} is missing before it"),
                _ => format!("lines {expected} to {} are missing before it", seq - 1),
            };
            self.find(Kind::Missing, expected, message);
        } else if seq < expected {
            let message = format!("it comes behind line {}", before.seq);
            self.find(Kind::Moved, seq, message);
        } else if parsed.prev != before.hash {
            let message = "it was written behind another line than the one before it".to_owned();
            self.find(Kind::Rewritten, seq, message);
        }
    }

    /// Lines that the log made itself.
    fn special(&mut self, parsed: &Parsed, bytes: &[u8]) {
        self.unsigned += 1;
        let is = |action: &str| {
            let word = format!(",\"action\":\"{action}\",");
            bytes.windows(word.len()).any(|part| part == word.as_bytes())
        };
        if is(CHECKPOINT) {
            self.signature(parsed, bytes);
        } else if is(REMOVED)
            && let Some(last) = removed(bytes)
        {
            self.removed.insert(last.seq, last.hash);
        }
        if self.key.is_some() && self.unsigned > self.signed_every.saturating_mul(2) {
            let message = format!("{} lines are without a signature", self.unsigned);
            self.find(Kind::Unsigned, parsed.link.seq, message);
            self.unsigned = 0;
        }
    }

    fn signature(&mut self, parsed: &Parsed, bytes: &[u8]) {
        let Some(key) = self.key else { return };
        let Some(signature) = said(bytes, CHECKPOINT, "/signature") else { return };
        let signed = Link { seq: parsed.link.seq.saturating_sub(1), hash: parsed.prev };
        if signature.as_str().is_some_and(|text| key.has_signed(text, &signed)) {
            (self.unsigned, self.report.signed) = (0, Some(signed.seq));
        } else {
            let message = "its signature is not that of this key over the line before".to_owned();
            self.find(Kind::Signature, parsed.link.seq, message);
        }
    }

    /// Whether the log begins where it may.
    fn begin(&mut self) {
        let Some((file, first)) = self.began.take() else { return };
        self.report.first = first.link.seq;
        let before = first.link.seq.saturating_sub(1);
        let said = self.removed.get(&before) == Some(&first.prev);
        if said || before == 0 && first.prev == Hash::default() {
            return;
        }
        let message = format!("the log begins here, and no line says that {before} were too old");
        let (kind, line, seq) = (Kind::Headless, 1, first.link.seq);
        // It is the first place, whatever else was found.
        self.report.findings.insert(0, Finding { kind, file, line, seq, message });
    }

    /// Whether it ends where its head says.
    fn end(&mut self, directory: &Path) {
        let last = self.report.last;
        self.at.1 = self.at.1.saturating_add(1);
        match self.head {
            Some(head) if head.seq > last.seq => {
                let message = match head.seq - last.seq {
                    1 => format!("line {} was written and is missing", head.seq),
                    _ => format!(
                        "lines {} to {} were written and are missing",
                        last.seq + 1,
                        head.seq
                    ),
                };
                self.find(Kind::Cut, last.seq + 1, message);
            }
            None if self.report.lines > 0 => {
                self.at = (directory.join(HEAD), 1);
                let message = "it is not there, or says nothing: lines may be missing at the end";
                self.find(Kind::NoHead, last.seq, message.to_owned());
            }
            _ => {}
        }
    }
}

/// What a line of this action says in one place; none if it is about something else, or says nothing.
fn said(line: &[u8], action: &str, pointer: &str) -> Option<Json> {
    let mut json: Json = serde_json::from_slice(line).ok()?;
    let is_it = json.get("action").is_some_and(|one| one == action);
    json.pointer_mut(pointer).filter(|_| is_it).map(Json::take)
}

/// The last line of a file that was too old.
fn removed(line: &[u8]) -> Option<Link> {
    let seq = said(line, REMOVED, "/last/seq")?.as_u64()?;
    let hash = Hash::parse(said(line, REMOVED, "/last/hash")?.as_str()?.as_bytes())?;
    Some(Link { seq, hash })
}
