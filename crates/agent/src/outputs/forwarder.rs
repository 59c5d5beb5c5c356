//! The process that moves the cursors: a thread an output, and what all of them tell of themselves.
//!
//! The guard starts it as the hidden command `forward`. Standard input has the outputs, one a line, and an empty
//! line; when it ends, what is left is handed over as far as a moment allows. Standard output gets the figures of all
//! outputs, one line of JSON whenever they have changed.

use std::fs;
use std::io::{self, BufRead, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;

use super::item::Item;
use super::progress::Progress;
use super::sender::Remote;
use super::sink::{self, Refusal, Sent, Sink};
use super::spool::{Place, Reader};
use super::target::Target;
use super::{FIGURES_MAX, OUTPUTS_MAX, directory, spool_directory};
use crate::cli::ForwardArgs;
use crate::exit::{Exit, Failure};
use crate::state;

/// How often a thread that has handed over everything looks for more.
const LOOK: Duration = Duration::from_millis(100);
/// How often figures are told, if they have changed.
const TELL: Duration = Duration::from_millis(500);
/// How long is waited after a failure: first, and at most. A receiver that is back is noticed soon.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(30)];
/// How often a receiver may refuse an item before the next one gets its turn.
const REFUSALS: u32 = 5;
/// What is left when the agent ends gets so long.
const LAST: Duration = Duration::from_millis(1_500);
/// Bytes of a cursor.
const CURSOR_MAX: u64 = 128;

/// `aegisbpf forward`.
pub(crate) fn run(args: &ForwardArgs) -> Result<Exit, Failure> {
    let fault = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::Internal, format!("cannot forward alerts: {error}"))
    };
    let dir = directory(&args.state_dir);
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&dir)
        .map_err(|error| fault(&error))?;
    // One that the guard before ours left may still be handing over its last items.
    let lock = anew(&dir.join("lock")).map_err(|error| fault(&error))?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive).map_err(|error| fault(&error))?;
    let mut input = io::stdin().lock();
    let mut all = Vec::new();
    for line in (&mut input).lines() {
        let line = line.map_err(|error| fault(&error))?;
        if line.is_empty() || all.len() >= OUTPUTS_MAX {
            break;
        }
        all.push(line.parse::<Target>().map_err(|error| fault(&error))?);
    }
    let spool = spool_directory(&state::of_worker(&args.state_dir));
    let shared = Shared::default();
    let mut threads = Vec::new();
    for target in all {
        let output = Output::new((&dir, &spool), target, &shared);
        let thread = std::thread::Builder::new().name("output".into());
        threads.push(thread.spawn(move || output.work()).map_err(|error| fault(&error))?);
    }
    let teller = shared.clone();
    std::thread::Builder::new()
        .name("figures".into())
        .spawn(move || teller.tell())
        .map_err(|error| fault(&error))?;
    // Nothing more is said: it ends when the guard wants us to, or has gone.
    drop(io::copy(&mut input, &mut io::sink()));
    shared.ending.store(true, Ordering::Release);
    let end = Instant::now() + LAST;
    while threads.iter().any(|thread| !thread.is_finished()) && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
    // Nobody may be there any more to hear it.
    drop(shared.say(&mut String::new()));
    Ok(Exit::Ok)
}

/// What the threads have in common.
#[derive(Debug, Clone, Default)]
struct Shared {
    figures: Arc<Mutex<Vec<Progress>>>,
    ending: Arc<AtomicBool>,
}

impl Shared {
    fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    fn figures(&self) -> MutexGuard<'_, Vec<Progress>> {
        // Figures are whole after each change.
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        let mut told = String::new();
        while self.say(&mut told).is_ok() {
            std::thread::sleep(TELL);
        }
    }

    /// Says how all outputs stand, unless that is what was said last.
    fn say(&self, told: &mut String) -> io::Result<()> {
        let text = serde_json::json!(*self.figures()).to_string();
        if text == *told || text.len() >= FIGURES_MAX {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        writeln!(out, "{text}")?;
        out.flush()?;
        *told = text;
        Ok(())
    }

    /// Waits, but not beyond the word to end.
    fn pause(&self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end && !self.is_ending() {
            std::thread::sleep(LOOK.min(time));
        }
    }
}

/// One output.
struct Output {
    target: Target,
    sink: Box<dyn Sink>,
    reader: Reader,
    cursor: PathBuf,
    shared: Shared,
    /// Where its figures are.
    number: usize,
    /// How long the next pause is.
    pause: Duration,
    /// How often in a row the first item was refused.
    refusals: u32,
}

impl Output {
    fn new((dir, spool): (&Path, &Path), target: Target, shared: &Shared) -> Output {
        let cursor = dir.join(format!("{}.cursor", target.name));
        // Without a cursor all that is still in the spool is told: a new output begins with the recent past.
        let place = read_cursor(&cursor).unwrap_or_default();
        let sink = sink::local(&target).unwrap_or_else(|| Box::new(Remote::new(target.clone())));
        let text = target.to_string();
        let scheme = text.split_once(':').map_or("", |one| one.0);
        let mut figures = shared.figures();
        figures.push(Progress::new(&target.name, scheme));
        let number = figures.len() - 1;
        drop(figures);
        let (reader, shared) = (Reader::new(spool, place), shared.clone());
        Output { target, sink, reader, cursor, shared, number, pause: PAUSES[0], refusals: 0 }
    }

    fn work(mut self) {
        loop {
            let ended = match self.step() {
                Ok(0) if self.shared.is_ending() => true,
                Ok(0) => {
                    self.shared.pause(LOOK);
                    false
                }
                Ok(_) => false,
                Err(why) => {
                    tracing::warn!(output = self.target.name, "{why}");
                    self.change(|figures| figures.failed(&why));
                    self.shared.pause(self.pause);
                    self.pause = (self.pause * 2).min(PAUSES[1]);
                    // The receiver gets one try after the word to end, no more.
                    self.shared.is_ending()
                }
            };
            if ended {
                return;
            }
        }
    }

    /// Hands over what is next; how many lines are done with.
    fn step(&mut self) -> Result<usize, String> {
        let before = self.reader.place();
        let batch =
            self.reader.batch().map_err(|error| format!("the spool cannot be read: {error}"))?;
        let lost = self.reader.take_lost();
        self.measure(&batch);
        if lost > 0 {
            self.tell_lost(lost, before)?;
        }
        let (mut items, mut places) = (Vec::new(), Vec::new());
        let (mut damaged, mut passed_over) = (0, 0);
        for (line, place) in &batch {
            match Item::of(line) {
                Some(item) if item.severity() >= self.target.least => {
                    items.push(item);
                    places.push(*place);
                }
                Some(_) => passed_over += 1,
                None => damaged += 1,
            }
        }
        let Some((_, end)) = batch.last() else { return Ok(0) };
        let sent = if items.is_empty() { Sent::all(0, Ok(())) } else { self.sink.send(&items) };
        let whole = sent.done >= items.len();
        self.change(|figures| figures.arrived(sent.done));
        if whole {
            self.arrive(*end)?;
            self.change(|figures| {
                figures.passed_over += passed_over;
                figures.lost += damaged;
            });
        } else if let Some(place) = sent.done.checked_sub(1).and_then(|last| places.get(last)) {
            self.arrive(*place)?;
        }
        match sent.refusal {
            Some(Refusal::Later(why)) if !whole => return Err(why),
            Some(Refusal::Never(why)) => self.refused(&why, places.get(sent.done))?,
            Some(Refusal::Later(why)) => self.change(|figures| figures.note(&why)),
            None => {}
        }
        self.measure(&[]);
        Ok(batch.len())
    }

    /// The receiver does not want an item. Perhaps it does not want any now, so the item is tried again before the
    /// next one gets its turn.
    fn refused(&mut self, why: &str, behind: Option<&Place>) -> Result<(), String> {
        self.refusals += 1;
        let Some(place) = behind.filter(|_| self.refusals >= REFUSALS) else {
            return Err(why.to_owned());
        };
        tracing::error!(output = self.target.name, "an item is given up: {why}");
        self.change(|figures| {
            figures.refused += 1;
            figures.note(why);
        });
        self.arrive(*place)
    }

    /// The receiver learns of a gap like of any alert.
    fn tell_lost(&mut self, lost: u64, place: Place) -> Result<(), String> {
        tracing::error!(
            output = self.target.name,
            lost,
            "the spool ran over before all was handed over"
        );
        let item = Item::lost(&self.target.name, lost, place);
        let sent = self.sink.send(&[item]);
        if let Some(Refusal::Later(why)) = sent.refusal.filter(|_| sent.done == 0) {
            // It is found again from the same place.
            self.reader.advance(place);
            self.reader.close();
            return Err(why);
        }
        self.change(|figures| figures.lost += lost);
        self.save()
    }

    /// All up to this place is done with.
    fn arrive(&mut self, place: Place) -> Result<(), String> {
        self.reader.advance(place);
        (self.pause, self.refusals) = (PAUSES[0], 0);
        self.change(|figures| figures.state = "ok");
        self.save()
    }

    fn save(&self) -> Result<(), String> {
        let new = self.cursor.with_extension("cursor.new");
        let place = self.reader.place().to_string();
        let saved = anew(&new).and_then(|mut file| file.write_all(place.as_bytes()));
        let saved = saved.and_then(|()| fs::rename(&new, &self.cursor));
        saved.map_err(|error| format!("{}: {error}", self.cursor.display()))
    }

    /// How much waits, and since when: `first` are the lines that are next. Without them what waits is known when
    /// they are read, and that nothing does already now.
    fn measure(&self, first: &[(String, Place)]) {
        let backlog = self.reader.backlog();
        let since = first
            .first()
            .and_then(|(line, _)| Item::of(line)?.text("/@timestamp").map(str::to_owned));
        self.change(|figures| {
            figures.backlog_bytes = backlog;
            if since.is_some() || backlog == 0 {
                figures.waiting_since = since;
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut Progress)) {
        if let Some(figures) = self.shared.figures().get_mut(self.number) {
            change(figures);
        }
    }
}

/// A file that is empty, for us alone.
fn anew(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

fn read_cursor(path: &Path) -> Option<Place> {
    let bytes = files::read_bytes(path, CURSOR_MAX, files::Trust::Owner).ok()?;
    std::str::from_utf8(&bytes).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::record::History;
    use crate::outputs::spool::Spool;

    /// A receiver that does what it is told: how many it takes, and why no more.
    struct Fake {
        plan: Vec<Sent>,
        got: Arc<Mutex<Vec<String>>>,
    }

    impl Sink for Fake {
        fn send(&mut self, items: &[Item]) -> Sent {
            let all = Sent { done: items.len(), refusal: None };
            let sent = if self.plan.is_empty() { all } else { self.plan.remove(0) };
            let ids = items.iter().take(sent.done).map(|item| item.id.clone());
            self.got.lock().unwrap().extend(ids);
            sent
        }
    }

    fn output(dir: &Path, options: &str, plan: Vec<Sent>) -> (Output, Arc<Mutex<Vec<String>>>) {
        let target = format!("file:/nowhere#name=fake{options}").parse().unwrap();
        let got = Arc::<Mutex<Vec<String>>>::default();
        let mut output = Output::new((dir, dir), target, &Shared::default());
        output.sink = Box::new(Fake { plan, got: Arc::clone(&got) });
        (output, got)
    }

    fn spool(dir: &Path, severities: &[&str]) {
        let bounds = History { bytes: 4 << 20, age: Duration::from_hours(1) };
        let mut spool = Spool::open(dir, bounds).unwrap();
        for (number, severity) in severities.iter().enumerate() {
            let line =
                format!("{{\"alert\":{{\"id\":\"{number}\"}},\"severity\":\"{severity}\"}}\n");
            spool.write(&line).unwrap();
        }
    }

    fn figures(output: &Output) -> Progress {
        output.shared.figures()[output.number].clone()
    }

    #[test]
    fn what_did_not_arrive_is_told_again_and_order_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        spool(dir.path(), &["high", "high", "high"]);
        let down = Refusal::Later("down".to_owned());
        let plan = vec![
            Sent { done: 1, refusal: Some(down.clone()) },
            Sent { done: 0, refusal: Some(down) },
        ];
        let (mut output, got) = output(dir.path(), "", plan);
        assert_eq!(
            (output.step(), output.step()),
            (Err("down".to_owned()), Err("down".to_owned()))
        );
        assert!(figures(&output).backlog_bytes > 0);
        assert_eq!(output.step(), Ok(2));
        assert_eq!(*got.lock().unwrap(), ["0", "1", "2"]);
        assert_eq!((figures(&output).sent, figures(&output).backlog_bytes), (3, 0));
        // A forwarder that is started again goes on where that one was.
        let (mut next, got) = super::tests::output(dir.path(), "", Vec::new());
        assert_eq!((next.step(), got.lock().unwrap().len()), (Ok(0), 0));
    }

    #[test]
    fn what_is_below_the_minimum_stays_here_and_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        spool(dir.path(), &["low", "high", "medium"]);
        let (mut output, got) = output(dir.path(), "&min=medium", Vec::new());
        assert_eq!(output.step(), Ok(3));
        assert_eq!(
            (&got.lock().unwrap()[..], figures(&output).passed_over),
            (&["1".to_owned(), "2".to_owned()][..], 1)
        );
    }

    #[test]
    fn an_item_that_is_refused_again_and_again_does_not_hold_up_the_others() {
        let dir = tempfile::tempdir().unwrap();
        spool(dir.path(), &["high", "high"]);
        let never = || Sent { done: 0, refusal: Some(Refusal::Never("400".to_owned())) };
        let (mut output, got) = output(dir.path(), "", (0..REFUSALS).map(|_| never()).collect());
        for _ in 1..REFUSALS {
            assert_eq!(output.step(), Err("400".to_owned()));
        }
        assert_eq!((output.step(), output.step()), (Ok(2), Ok(1)));
        assert_eq!(
            (&got.lock().unwrap()[..], figures(&output).refused),
            (&["1".to_owned()][..], 1)
        );
    }

    #[test]
    fn a_gap_is_told_to_the_receiver_until_it_has_arrived() {
        let dir = tempfile::tempdir().unwrap();
        let segment = dir.path().join(format!("{:020}.jsonl", 7));
        fs::write(segment, "{\"alert\":{\"id\":\"seven\"}}\n").unwrap();
        let down = Sent { done: 0, refusal: Some(Refusal::Later("down".to_owned())) };
        let (mut output, got) = output(dir.path(), "", vec![down]);
        assert_eq!((output.step(), figures(&output).lost), (Err("down".to_owned()), 0));
        assert_eq!(output.step(), Ok(1));
        assert_eq!((figures(&output).lost, got.lock().unwrap().len()), (7, 2));
        assert_eq!(got.lock().unwrap()[1], "seven", "the gap comes first");
    }
}
