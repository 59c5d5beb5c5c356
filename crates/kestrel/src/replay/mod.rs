//! `kestrel replay`: a recording through rules, as the agent ran them.
//!
//! One thread is the engine's, as in the agent; frames are read, checked and unpacked on others. So
//! the alerts and their order do not depend on how many there are.
//!
//! | module | does |
//! |---|---|
//! | `feed` | frames from files, unpacked, in their order |
//! | `show` | alerts and verdicts as text |
//! | `span` | the part of recorded time that is wanted |

pub(crate) mod feed;
pub(crate) mod show;
pub(crate) mod span;

use std::io;
use std::path::PathBuf;

use capture::{Head, Player, RuleSet};
use lang::Level;

use crate::cli::{DialectName, RunForm};
use crate::output::{self, Status};
use crate::rules::Rules;
use crate::scripts;
use feed::{Fed, What};
use show::Alerts;
use span::Span;

/// Differences between rules that are told.
const TOLD_MAX: usize = 20;

/// What is wanted.
pub(crate) struct Options<'o> {
    pub(crate) recording: &'o [PathBuf],
    pub(crate) span: Span,
    pub(crate) rules: &'o [PathBuf],
    pub(crate) dialect: Option<DialectName>,
    pub(crate) form: RunForm,
    pub(crate) threads: Option<usize>,
    pub(crate) verify: bool,
    pub(crate) force: bool,
}

/// Replays, and prints the alerts or how they compare.
pub(crate) fn run(options: &Options<'_>) -> io::Result<Status> {
    let rules = Rules::load(options.rules, options.dialect);
    rules.show_errors()?;
    let texts = rules.loaded.sources.iter().map(|one| (one.name.as_str(), one.text.as_str()));
    let given = RuleSet::of(&rules.loaded.program, texts);
    let files = match feed::files(options.recording) {
        Ok(files) => options.span.files(files),
        Err(error) => {
            output::complain(&error);
            return Ok(Status::Findings);
        }
    };
    let threads = options
        .threads
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    let start = |program: &model::program::Program| scripts::start(program);
    let mut replay = Replay {
        options,
        rules: &rules,
        given,
        runtime: &start,
        player: None,
        alerts: Alerts::new(options.form, options.span, options.verify),
        sound: rules.count(Level::Error) == 0,
    };
    let ended = feed::feed(&files, threads, &mut |fed| replay.take(fed));
    match ended {
        Ok(()) => replay.finish(),
        Err(Stop::Io(error)) => Err(error),
        Err(Stop::Refused(why)) => {
            replay.alerts.flush()?;
            output::complain(&why);
            Ok(Status::Findings)
        }
    }
}

/// Why a replay ends early.
pub(crate) enum Stop {
    /// The output cannot be written, or an input not be read.
    Io(io::Error),
    /// It is refused; why, with its code.
    Refused(String),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::Io(error)
    }
}

/// Rules that break a bound of the engine.
#[expect(clippy::needless_pass_by_value, reason = "what fails is given up")]
fn unsound(error: engine::eval::CompileError) -> Stop {
    Stop::Refused(error.to_string())
}

struct Replay<'o> {
    options: &'o Options<'o>,
    rules: &'o Rules,
    given: RuleSet,
    runtime: capture::play::Runtime<'o>,
    player: Option<Player<'o>>,
    alerts: Alerts,
    sound: bool,
}

impl Replay<'_> {
    fn take(&mut self, fed: Fed<'_>) -> Result<(), Stop> {
        let Fed { file, what } = fed;
        let file = file.display().to_string();
        match (what, &mut self.player) {
            (What::Head(head), _) => return self.head(&file, *head),
            (What::State(block), Some(player)) => player.state(&block),
            (What::Items(number, block), Some(player)) => {
                let alerts = &mut self.alerts;
                let mut written = Ok(());
                let played = player.items(number, &block, &mut |heard| {
                    let added = heard.found(&mut |view, matched| alerts.add(&file, view, matched));
                    if written.is_ok() {
                        written = added;
                    }
                });
                played.map_err(unsound)?;
                written?;
                if player.other_rules() > 0 && !self.options.force {
                    return Err(Stop::Refused(format!(
                        "{file}: [other-rules] other rules came into force during the recording; \
                         --force replays all of it with the given ones"
                    )));
                }
            }
            (What::End, Some(player)) => player.end(),
            (What::Missing(why), player) => {
                self.sound = false;
                output::complain(&format!("{file}: {why}"));
                if let Some(player) = player {
                    player.gap();
                }
            }
            (What::Torn(what), _) => output::note(&format!("{file}: {what}")),
            (What::Refused(why), _) => return Err(Stop::Refused(format!("{file}: {why}"))),
            (What::State(_) | What::Items(..) | What::End, None) => {
                return Err(Stop::Refused(format!(
                    "{file}: [head] the head of the recording is damaged: without it nobody knows \
                     what the rest means"
                )));
            }
        }
        Ok(())
    }

    /// A recording begins, or goes on in another file.
    fn head(&mut self, file: &str, head: Head) -> Result<(), Stop> {
        self.alerts.flush()?;
        self.check(file, &head.rules)?;
        if let Some(player) = &mut self.player {
            return player.head(head).map_err(unsound);
        }
        let (program, given) = (self.rules.loaded.program.clone(), self.given.clone());
        let player = Player::new(head, program, given, self.runtime);
        self.player = Some(player.map_err(unsound)?);
        Ok(())
    }

    /// The rules that ran must be those that are given, or whoever asks must want it otherwise.
    fn check(&self, file: &str, ran: &RuleSet) -> Result<(), Stop> {
        if ran.digest == self.given.digest || self.options.force {
            return Ok(());
        }
        let differences = ran.differences(&self.given);
        let mut told: Vec<String> = differences.iter().take(TOLD_MAX).cloned().collect();
        if differences.len() > TOLD_MAX {
            told.push(format!("and {} more", differences.len() - TOLD_MAX));
        }
        Err(Stop::Refused(format!(
            "{file}: [other-rules] these are not the rules that ran (sha256 {} ran, {} is given): \
             {}; --force replays with the given ones",
            ran.digest,
            self.given.digest,
            told.join("; ")
        )))
    }

    fn finish(mut self) -> io::Result<Status> {
        self.alerts.flush()?;
        let Some(player) = self.player else {
            output::complain("the recording is empty");
            return Ok(Status::Findings);
        };
        let verdict = player.finish();
        let whole = show::losses(&verdict);
        let same = verdict.different == 0 && verdict.other_rules == 0;
        let fine = if self.options.verify {
            show::verdict(&verdict, self.options.form)?;
            same
        } else {
            if self.options.form == RunForm::Text {
                let count = self.rules.loaded.program.rules.len();
                output::note(&format!("{count} rules: {} alerts", self.alerts.count()));
            }
            self.alerts.count() == 0
        };
        Ok(if fine && whole && self.sound { Status::Fine } else { Status::Findings })
    }
}
