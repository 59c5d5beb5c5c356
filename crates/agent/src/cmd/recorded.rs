//! Recordings for commands that look at all events in them: which files, and what they tell.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use capture::frame::Kind;
use capture::play::Heard;
use capture::{Head, Piece, Player, Reader, RuleSet};
use engine::{NoScripts, View};
use model::field;
use model::program::Program;
use model::script::Scripts;
use model::value::{Fields, Value};

use crate::exit::{Exit, Failure};
use crate::{state as dirs, worker};

/// The recordings that were named, or the history of this state directory.
pub(crate) fn files(named: &[PathBuf], state: &Path) -> Result<Vec<PathBuf>, Failure> {
    let history = [dirs::of_worker(state).join(worker::HISTORY)];
    let paths = if named.is_empty() { &history[..] } else { named };
    let mut files = Vec::new();
    for path in paths {
        let unreadable =
            |error: std::io::Error| Failure::cannot(&format!("read {}", path.display()), &error);
        match std::fs::metadata(path) {
            Ok(about) if about.is_dir() => {
                files.extend(worker::segments(path).map_err(unreadable)?);
            }
            Ok(_) => files.push(path.clone()),
            // No agent has run yet.
            Err(error) if error.kind() == ErrorKind::NotFound && named.is_empty() => {}
            Err(error) => return Err(unreadable(error)),
        }
    }
    if files.is_empty() {
        return Err(Failure::new(Exit::Failed, "nothing was recorded")
            .help("run the agent without `--history off`, or name a recording"));
    }
    Ok(files)
}

/// Longer than any recording.
const CENTURY: Duration = Duration::from_hours(24 * 36_525);

/// The time so long ago, in ns since 1970.
pub(crate) fn begin(since: Option<Duration>) -> Option<i64> {
    since.map(|since| {
        let ago = i64::try_from(since.min(CENTURY).as_nanos()).unwrap_or(i64::MAX);
        i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX) - ago
    })
}

/// Whether an event was before that time.
pub(crate) fn is_before(view: &View<'_>, begin: Option<i64>) -> bool {
    let is_old = |begin| matches!(view.get(field::TIMESTAMP), Value::Int(time) if time < begin);
    begin.is_some_and(is_old)
}

fn no_scripts(_: &Program) -> Box<dyn Scripts> {
    Box::new(NoScripts)
}

/// Plays recordings without rules; the number of places at which something is missing.
pub(crate) fn play(files: &[PathBuf], each: &mut dyn FnMut(Heard<'_, '_>)) -> Result<u64, Failure> {
    let mut player: Option<Player<'static>> = None;
    for file in files {
        if let Err(why) = play_file(file, &mut player, each) {
            return Err(Failure::cannot(&format!("read {}", file.display()), &*why));
        }
    }
    Ok(player.map_or(0, |player| player.finish().gaps))
}

type Any = Box<dyn std::error::Error>;

fn play_file(
    file: &Path,
    player: &mut Option<Player<'static>>,
    each: &mut dyn FnMut(Heard<'_, '_>),
) -> Result<(), Any> {
    let mut reader = Reader::open(File::open(file)?)?;
    while let Some(piece) = reader.next_piece()? {
        let frame = match (piece, player.as_mut()) {
            (Piece::Frame(frame), _) => frame,
            (Piece::Damage { .. }, Some(player)) => {
                player.gap();
                continue;
            }
            (Piece::Damage { .. } | Piece::Torn { .. }, _) => continue,
        };
        match (frame.header.kind, player.as_mut()) {
            (Kind::Head, Some(player)) => player.head(Head::of(&frame)?)?,
            (Kind::Head, None) => {
                let (program, rules) = (Program::default(), RuleSet::default());
                *player = Some(Player::new(Head::of(&frame)?, program, rules, &no_scripts)?);
            }
            (Kind::State, Some(player)) => player.state(&frame.block()?),
            (Kind::Items, Some(player)) => {
                player.items(frame.header.number, &frame.block()?, each)?;
            }
            (Kind::End, _) => {}
            (Kind::State | Kind::Items, None) => return Err("its head is damaged".into()),
        }
    }
    Ok(())
}
