//! Frames from files, unpacked, in their order.
//!
//! Frames go around the threads that unpack them in turn, so what they make of them comes back in
//! order, and no queue is longer than what is in flight.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use capture::frame::Kind;
use capture::read::OpenError;
use capture::{Block, Frame, Head, Piece, Reader};

use super::Stop;

/// What the names of segments of history end with.
const ENDING: &str = "rec";
/// Frames that each thread may be behind.
const IN_FLIGHT: usize = 4;
/// Threads that unpack: more than these one engine does not use up.
const THREADS_MAX: usize = 8;

/// A part of a recording, ready to be played.
pub(crate) enum What {
    Head(Box<Head>),
    State(Block),
    Items(u64, Block),
    End,
    /// Something is missing here.
    Missing(String),
    /// The end of a file is no whole frame.
    Torn(String),
    /// The file is no recording that can be read here.
    Refused(String),
}

/// The same, and the file that it is of.
pub(crate) struct Fed<'f> {
    pub(crate) file: &'f Path,
    pub(crate) what: What,
}

/// The files of a recording: those that are named, and the segments in directories, the oldest first.
pub(crate) fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let unreadable = |error: std::io::Error| format!("{}: {error}", path.display());
        let mut found = Vec::new();
        for entry in std::fs::read_dir(path).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.extension().is_some_and(|ending| ending == ENDING) {
                found.push(path);
            }
        }
        if found.is_empty() {
            return Err(format!("{}: no recording (*.{ENDING})", path.display()));
        }
        found.sort();
        files.extend(found);
    }
    Ok(files)
}

/// Hands on all parts of these files.
pub(crate) fn feed(
    files: &[PathBuf],
    threads: usize,
    each: &mut dyn FnMut(Fed<'_>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    // One is the engine's.
    let unpackers = threads.saturating_sub(1).min(THREADS_MAX);
    if unpackers == 0 {
        return read(files, &mut |file, raw| each(Fed { file, what: raw.unpack() }));
    }
    thread::scope(|scope| {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..unpackers)
            .map(|_| {
                let (to, raw) = sync_channel::<(&Path, Raw)>(IN_FLIGHT);
                let (fed, from) = sync_channel::<Fed<'_>>(IN_FLIGHT);
                scope.spawn(move || unpack(&raw, &fed));
                (to, from)
            })
            .unzip();
        let reader = scope.spawn(move || {
            let mut given = senders.iter().cycle();
            read(files, &mut |file, raw| {
                let gone = || Stop::Io(std::io::ErrorKind::BrokenPipe.into());
                given.next().and_then(|to| to.send((file, raw)).ok()).ok_or_else(gone)
            })
        });
        let mut taken = receivers.iter().cycle();
        let mut played = Ok(());
        // The first one that has nothing more is the one whose turn it is.
        while let Some(fed) = taken.next().and_then(|from| from.recv().ok()) {
            played = each(fed);
            if played.is_err() {
                break;
            }
        }
        drop(taken);
        drop(receivers);
        let read = reader.join();
        played?;
        read.unwrap_or_else(|_| Err(std::io::Error::other("the thread that reads failed").into()))
    })
}

fn unpack<'f>(raw: &Receiver<(&'f Path, Raw)>, fed: &SyncSender<Fed<'f>>) {
    for (file, raw) in raw {
        if fed.send(Fed { file, what: raw.unpack() }).is_err() {
            return;
        }
    }
}

/// A part as it was read.
enum Raw {
    Frame(Frame),
    Ready(What),
}

impl Raw {
    fn unpack(self) -> What {
        let frame = match self {
            Raw::Ready(what) => return what,
            Raw::Frame(frame) => frame,
        };
        let number = frame.header.number;
        let refused = |refusal: &capture::Refusal| format!("[{}] {refusal}", refusal.code());
        let block = |what: fn(u64, Block) -> What| match frame.block() {
            Ok(block) => what(number, block),
            Err(refusal) => What::Missing(refused(&refusal)),
        };
        match frame.header.kind {
            Kind::Head => match Head::of(&frame) {
                Ok(head) => What::Head(Box::new(head)),
                Err(refusal) => What::Refused(refused(&refusal)),
            },
            Kind::State => block(|_, block| What::State(block)),
            Kind::Items => block(What::Items),
            Kind::End => What::End,
        }
    }
}

fn read<'f>(
    files: &'f [PathBuf],
    each: &mut dyn FnMut(&'f Path, Raw) -> Result<(), Stop>,
) -> Result<(), Stop> {
    for file in files {
        let opened = File::open(file).map_err(OpenError::Io).and_then(Reader::open);
        let mut reader = match opened {
            Ok(reader) => reader,
            Err(error) => {
                let code = match &error {
                    OpenError::Refused(refusal) => refusal.code(),
                    OpenError::Io(_) => "unreadable",
                };
                each(file, Raw::Ready(What::Refused(format!("[{code}] {error}"))))?;
                continue;
            }
        };
        while let Some(piece) = reader.next_piece()? {
            let raw = match piece {
                Piece::Frame(frame) => Raw::Frame(frame),
                Piece::Damage { at, bytes, why } => Raw::Ready(What::Missing(format!(
                    "[{}] {bytes} bytes at {at} are no frame: {why}",
                    why.code()
                ))),
                Piece::Torn { at, bytes } => Raw::Ready(What::Torn(format!(
                    "the recording was cut off: it is sound up to byte {at}, and {bytes} bytes \
                     after it are left out"
                ))),
            };
            each(file, raw)?;
        }
    }
    Ok(())
}
