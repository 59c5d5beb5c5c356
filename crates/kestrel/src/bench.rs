//! `kestrel bench`: what rules cost, by stage.
//!
//! Events are taken in blocks: read, decoded and evaluated by all threads, each its share; then
//! sequences go on in order on one thread, as an agent would do it. So the alerts are the same on
//! any number of threads.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use engine::eval::{Compiled, Scratch};
use engine::{Detector, Limits};
use serde_json::json;

use crate::cli::{DialectName, Form};
use crate::inflate;
use crate::input::{Event, Lines, Names, Placed};
use crate::output::{self, Status};
use crate::rules::Rules;

/// Events of one block: few enough for the memory of a laptop.
const BLOCK: usize = 16_384;

/// What is measured.
#[derive(Debug)]
pub(crate) struct Options<'a> {
    pub(crate) rules: &'a [PathBuf],
    pub(crate) events: &'a [PathBuf],
    pub(crate) dialect: Option<DialectName>,
    pub(crate) threads: usize,
    pub(crate) inflate: Option<usize>,
    pub(crate) form: Form,
}

/// Time by stage, as it passed on the clock.
#[derive(Debug, Default)]
struct Spent {
    events: u64,
    bytes: u64,
    bad: u64,
    alerts: u64,
    read: Duration,
    parse: Duration,
    eval: Duration,
    sequences: Duration,
}

/// What one thread owns: the events of its share, what it remembers, and which filters each event
/// satisfied.
struct Share {
    events: Vec<Event>,
    used: usize,
    scratch: Scratch,
    hits: Vec<Vec<u32>>,
}

pub(crate) fn run(options: &Options<'_>) -> io::Result<Status> {
    let mut rules = Rules::load(options.rules, options.dialect);
    rules.show_errors()?;
    if let Some(count) = options.inflate {
        inflate::to(&mut rules.loaded.program, count);
    }
    let start = Instant::now();
    let Some(compiled) = rules.compile() else { return Ok(Status::Findings) };
    let compile = start.elapsed();
    let names = crate::rules::names(&compiled);
    let mut spent = Spent::default();
    let mut detector = Detector::new(Arc::clone(&compiled), Limits::default());
    let mut shares: Vec<Share> = (0..options.threads.max(1))
        .map(|_| Share {
            events: Vec::new(),
            used: 0,
            scratch: Scratch::default(),
            hits: Vec::new(),
        })
        .collect();
    for path in options.events {
        let mut lines = Lines::open(path)?;
        while block(&mut lines, &mut shares, &compiled, &names, &mut detector, &mut spent)? {}
        spent.bytes += lines.bytes();
    }
    show(&spent, &compiled, compile, options)?;
    Ok(Status::Fine)
}

/// Reads, decodes and evaluates one block; false at the end of the input.
fn block(
    lines: &mut Lines,
    shares: &mut [Share],
    compiled: &Arc<Compiled>,
    names: &Arc<Names>,
    detector: &mut Detector,
    spent: &mut Spent,
) -> io::Result<bool> {
    let start = Instant::now();
    let mut texts: Vec<Vec<u8>> = Vec::with_capacity(BLOCK);
    while texts.len() < BLOCK
        && let Some((_, line)) = lines.next()?
    {
        match line {
            Ok(line) => texts.push(line.to_vec()),
            Err(_) => spent.bad += 1,
        }
    }
    if texts.is_empty() {
        return Ok(false);
    }
    spent.read += start.elapsed();
    let size = texts.len().div_ceil(shares.len());
    let start = Instant::now();
    let bad: u64 = thread::scope(|scope| {
        let parts = shares.iter_mut().zip(texts.chunks(size));
        let threads: Vec<_> =
            parts.map(|(share, texts)| scope.spawn(move || share.parse(texts, names))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_default()).sum()
    });
    spent.bad += bad;
    spent.parse += start.elapsed();
    let start = Instant::now();
    thread::scope(|scope| {
        for share in &mut *shares {
            scope.spawn(|| share.eval(compiled));
        }
    });
    spent.eval += start.elapsed();
    let start = Instant::now();
    let mut found = Vec::new();
    for share in shares {
        for (event, hits) in share.events.iter().zip(&mut share.hits).take(share.used) {
            spent.events += 1;
            let (position, ordinal) = (spent.events, spent.events);
            let time = event.time().unwrap_or_default();
            detector.advance(&Placed { event, position, time, ordinal }, hits, &mut found);
            spent.alerts += found.len() as u64;
            found.clear();
        }
        share.used = 0;
    }
    spent.sequences += start.elapsed();
    Ok(true)
}

impl Share {
    fn parse(&mut self, texts: &[Vec<u8>], names: &Arc<Names>) -> u64 {
        let mut bad = 0;
        for text in texts {
            if self.events.len() == self.used {
                self.events.push(Event::new(Arc::clone(names)));
                self.hits.push(Vec::new());
            }
            let Some(event) = self.events.get_mut(self.used) else { continue };
            match event.read(text) {
                Ok(()) => self.used += 1,
                Err(_) => bad += 1,
            }
        }
        bad
    }

    fn eval(&mut self, compiled: &Compiled) {
        for (event, hits) in self.events.iter().zip(&mut self.hits).take(self.used) {
            compiled.hits(event, &mut self.scratch, hits);
        }
    }
}

fn show(
    spent: &Spent,
    compiled: &Compiled,
    compile: Duration,
    options: &Options<'_>,
) -> io::Result<()> {
    let each = |time: Duration| {
        u64::try_from(time.as_nanos() / u128::from(spent.events.max(1))).unwrap_or(u64::MAX)
    };
    let engine = each(spent.eval + spent.sequences);
    let rules = compiled.program().rules.len();
    let rate = 1_000_000_000 / engine.max(1);
    if options.form == Form::Json {
        return output::json(&json!({
            "rules": rules, "events": spent.events, "bad": spent.bad, "alerts": spent.alerts,
            "bytes": spent.bytes, "threads": options.threads,
            "compile_ms": u64::try_from(compile.as_millis()).unwrap_or(u64::MAX),
            "ns": {
                "read": each(spent.read), "parse": each(spent.parse), "eval": each(spent.eval),
                "sequences": each(spent.sequences), "engine": engine,
            },
            "events_per_second": rate,
        }));
    }
    let mut out = anstream::stdout().lock();
    let (events, alerts, threads) = (spent.events, spent.alerts, options.threads);
    writeln!(out, "{rules} rules, {events} events, {alerts} alerts, {threads} threads")?;
    writeln!(out, "compile    {:>9} ms", compile.as_millis())?;
    for (stage, time) in [
        ("read", spent.read),
        ("parse", spent.parse),
        ("eval", spent.eval),
        ("sequences", spent.sequences),
    ] {
        writeln!(out, "{stage:<10} {:>9} ns an event", each(time))?;
    }
    writeln!(out, "engine     {engine:>9} ns an event: {rate} events/s")
}
