//! `kestrel run`: rules over recorded events.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lang::Level;

use crate::alert::Alert;
use crate::cli::{DialectName, RunForm};
use crate::input::{Order, Report};
use crate::output::{self, Status};
use crate::rules::Rules;
use crate::stream::{Clock, Sink, Stream, WINDOW};

/// Bytes of output that one input may be ahead of the one that is printed.
const CHUNK: usize = 64 << 10;
const CHUNKS: usize = 64;
/// What is printed of an input, in order.
enum Piece {
    Output(Vec<u8>),
    Done(Summary),
}

/// How an input ended.
#[derive(Default)]
struct Summary {
    report: Report,
    alerts: u64,
    lost: u64,
    incidents: Vec<String>,
    error: Option<io::Error>,
}

/// What all inputs share.
struct Job<'a> {
    inputs: &'a [PathBuf],
    stream: Stream,
    form: RunForm,
    bar: ProgressBar,
}

/// The alerts of one input on their way to the output.
struct Output<'j> {
    job: &'j Job<'j>,
    input: String,
    sender: &'j SyncSender<Piece>,
    text: Vec<u8>,
    alerts: u64,
    /// Bytes of the input that the progress bar knows of.
    shown: u64,
    /// Somebody waits for each alert.
    idle: bool,
}

/// Prints the alerts of each input, in the order in which the inputs are named, however many are
/// read at the same time. Alerts are findings: the exit status tells a script that there are some.
pub(crate) fn run(
    paths: &[PathBuf],
    inputs: &[PathBuf],
    dialect: Option<DialectName>,
    form: RunForm,
    threads: Option<usize>,
) -> io::Result<Status> {
    let rules = Rules::load(paths, dialect);
    rules.show_errors()?;
    let Some(compiled) = rules.compile() else { return Ok(Status::Findings) };
    let names = crate::rules::names(&compiled);
    let threads = threads
        .or_else(|| thread::available_parallelism().ok().map(Into::into))
        .unwrap_or(1)
        .max(1);
    // Files are read at the same time as far as there are threads; each gets its share of the rest.
    let files = threads.min(inputs.len().max(1));
    let order = Order::Time(WINDOW);
    let stream = Stream { compiled, names, order, threads: threads / files, clock: Clock::Off };
    let job = Job { inputs, stream, form, bar: progress(inputs) };
    let mut sound = rules.count(Level::Error) == 0;
    let next = AtomicUsize::new(0);
    let (senders, receivers): (Vec<_>, Vec<_>) =
        inputs.iter().map(|_| sync_channel::<Piece>(CHUNKS)).unzip();
    let senders: Vec<Mutex<Option<SyncSender<Piece>>>> =
        senders.into_iter().map(|sender| Mutex::new(Some(sender))).collect();
    let mut alerts = 0;
    let written = thread::scope(|scope| {
        for _ in 0..files {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let (Some(input), Some(sender)) = (job.inputs.get(number), senders.get(number))
                    else {
                        return;
                    };
                    let sender = sender.lock().ok().and_then(|mut sender| sender.take());
                    if let Some(sender) = sender {
                        job.one(input, &sender);
                    }
                }
            });
        }
        print(&job, receivers, &mut sound, &mut alerts)
    });
    job.bar.finish_and_clear();
    written?;
    if form == RunForm::Text {
        writeln!(
            anstream::stderr(),
            "{} rules: {alerts} alerts",
            rules.loaded.program.rules.len()
        )?;
    }
    Ok(if sound && alerts == 0 { Status::Fine } else { Status::Findings })
}

/// Prints the pieces of each input in turn. Dropping the receivers after an error ends the rest.
fn print(
    job: &Job<'_>,
    receivers: Vec<Receiver<Piece>>,
    sound: &mut bool,
    alerts: &mut u64,
) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    for (input, receiver) in job.inputs.iter().zip(receivers) {
        for piece in receiver {
            match piece {
                Piece::Output(text) => job.bar.suspend(|| out.write_all(&text))?,
                Piece::Done(summary) => {
                    *alerts += summary.alerts;
                    *sound &= job.bar.suspend(|| tell(input, &summary));
                }
            }
        }
    }
    out.flush()
}

/// Says on standard error what was wrong with an input; true if nothing was.
fn tell(input: &Path, summary: &Summary) -> bool {
    let input = input.display();
    for (position, bad) in &summary.report.first_bad {
        output::complain(&format!("{input}:{position}: {bad}"));
    }
    if summary.report.bad > 0 {
        let (bad, events) = (summary.report.bad, summary.report.events);
        output::complain(&format!("{input}: {bad} lines are no events, {events} are"));
    }
    if summary.lost > 0 {
        let lost = summary.lost;
        output::complain(&format!("{input}: {lost} partial matches were dropped at a limit"));
    }
    for incident in &summary.incidents {
        output::complain(&format!("{input}: {incident}"));
    }
    if let Some(error) = &summary.error {
        output::complain(&format!("{input}: {error}"));
    }
    summary.report.bad == 0 && summary.error.is_none()
}

impl Job<'_> {
    fn one(&self, input: &Path, sender: &SyncSender<Piece>) {
        let mut summary = Summary::default();
        let mut output = Output {
            job: self,
            input: input.display().to_string(),
            sender,
            text: Vec::new(),
            alerts: 0,
            shown: 0,
            idle: input.as_os_str() == "-",
        };
        let ended = self.stream.run(input, &mut output);
        let flushed = output.flush();
        summary.alerts = output.alerts;
        match ended.and_then(|ended| flushed.map(|()| ended)) {
            Ok(ended) => {
                (summary.report, summary.lost) = (ended.report, ended.lost);
                summary.incidents = ended.incidents;
            }
            // If nobody listens any more, the output has failed and that is told.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) => summary.error = Some(error),
        }
        drop(sender.send(Piece::Done(summary)));
    }
}

impl Output<'_> {
    fn flush(&mut self) -> io::Result<()> {
        if self.text.is_empty() {
            return Ok(());
        }
        let piece = Piece::Output(std::mem::take(&mut self.text));
        self.sender.send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Sink for Output<'_> {
    fn alert(&mut self, alert: &Alert<'_>) -> io::Result<()> {
        self.alerts += 1;
        match self.job.form {
            RunForm::Text => alert.text(&self.input, &mut self.text)?,
            RunForm::Ndjson => alert.ndjson(&self.input, &mut self.text)?,
        }
        if self.text.len() > CHUNK { self.flush() } else { Ok(()) }
    }

    fn progress(&mut self, bytes: u64) -> io::Result<()> {
        self.job.bar.inc(bytes.saturating_sub(self.shown));
        self.shown = bytes;
        if self.idle { self.flush() } else { Ok(()) }
    }
}

/// Shown only if a person waits for something whose length is known.
fn progress(inputs: &[PathBuf]) -> ProgressBar {
    let lengths = inputs.iter().map(|path| {
        std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).map(|about| about.len())
    });
    let total: Option<u64> = lengths.sum();
    let Some(total) = total.filter(|_| io::stderr().is_terminal()) else {
        return ProgressBar::hidden();
    };
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    let style = "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    bar
}
