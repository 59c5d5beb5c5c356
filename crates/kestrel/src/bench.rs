//! `kestrel bench`: what rules cost, by stage.
//!
//! It is `kestrel run` with a clock, and without the output: alerts are made and thrown away. Stages
//! are measured in processor time, so they mean the same on any number of threads and beside other
//! work; the rate is of the clock on the wall.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::alert::Alert;
use crate::cli::{DialectName, Form};
use crate::inflate;
use crate::input::Order;
use crate::output::{self, Status};
use crate::rules::Rules;
use crate::stream::{Clock, Ended, Sink, Stream, WINDOW};

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

/// What was measured.
#[derive(Debug)]
struct Measured {
    rules: usize,
    threads: usize,
    alerts: u64,
    compile: Duration,
    wall: Duration,
    ended: Ended,
}

/// Alerts are made, and counted.
#[derive(Debug, Default)]
struct Counter {
    alerts: u64,
    text: Vec<u8>,
}

impl Sink for Counter {
    fn alert(&mut self, alert: &Alert<'_>) -> io::Result<()> {
        self.alerts += 1;
        self.text.clear();
        alert.ndjson("", &mut self.text)
    }
}

pub(crate) fn run(options: &Options<'_>) -> io::Result<Status> {
    let mut rules = Rules::load(options.rules, options.dialect);
    rules.show_errors()?;
    if let Some(count) = options.inflate {
        inflate::to(&mut rules.loaded.program, count);
    }
    let start = Instant::now();
    let Some(compiled) = rules.compile() else { return Ok(Status::Findings) };
    let (compile, threads) = (start.elapsed(), options.threads.max(1));
    let names = crate::rules::names(&compiled);
    let rules = compiled.program().rules.len();
    let stream = Stream { compiled, names, order: Order::Time(WINDOW), threads, clock: Clock::On };
    let start = Instant::now();
    let (mut counter, mut ended) = (Counter::default(), Ended::default());
    for path in options.events {
        let one = stream.run(path, &mut counter)?;
        ended.report.events += one.report.events;
        ended.report.bad += one.report.bad;
        ended.bytes += one.bytes;
        ended.spent += one.spent;
    }
    let (alerts, wall) = (counter.alerts, start.elapsed());
    let measured = Measured { rules, threads, alerts, compile, wall, ended };
    match options.form {
        Form::Json => measured.json()?,
        Form::Text => measured.text()?,
    }
    Ok(Status::Fine)
}

impl Measured {
    /// Each stage, its time, and what of it is the engine's own.
    fn stages(&self) -> [(&'static str, Duration); 5] {
        let spent = self.ended.spent;
        [
            ("read", spent.read),
            ("decode", spent.decode),
            ("eval", spent.eval),
            ("sequences", spent.sequences),
            ("alerts", spent.alerts),
        ]
    }

    /// Nanoseconds an event.
    fn each(&self, time: Duration) -> u64 {
        let each = time.as_nanos() / u128::from(self.ended.report.events.max(1));
        u64::try_from(each).unwrap_or(u64::MAX)
    }

    /// What the rules cost on events that are decoded.
    fn engine(&self) -> u64 {
        let spent = self.ended.spent;
        self.each(spent.eval + spent.sequences + spent.alerts)
    }

    /// Bytes of the input in a second of this.
    fn bytes_in(&self, time: Duration) -> u64 {
        let second = u128::from(self.ended.bytes) * 1_000_000_000 / time.as_nanos().max(1);
        u64::try_from(second).unwrap_or(u64::MAX)
    }

    fn json(&self) -> io::Result<()> {
        let stages = self.stages().map(|(name, time)| (name.to_owned(), self.each(time).into()));
        let mut ns: serde_json::Map<String, serde_json::Value> = stages.into_iter().collect();
        ns.insert("engine".to_owned(), self.engine().into());
        ns.insert("wall".to_owned(), self.each(self.wall).into());
        output::json(&json!({
            "rules": self.rules,
            "events": self.ended.report.events,
            "bad": self.ended.report.bad,
            "bytes": self.ended.bytes,
            "alerts": self.alerts,
            "threads": self.threads,
            "compile_ms": u64::try_from(self.compile.as_millis()).unwrap_or(u64::MAX),
            "ns": ns,
            "events_per_second": {
                "decoded": per_second(self.engine()),
                "end_to_end": per_second(self.each(self.wall)),
            },
        }))
    }

    fn text(&self) -> io::Result<()> {
        let mut out = anstream::stdout().lock();
        let (rules, events, alerts) = (self.rules, self.ended.report.events, self.alerts);
        writeln!(out, "{rules} rules, {events} events, {alerts} alerts, {} threads", self.threads)?;
        writeln!(out, "compile    {:>7} ms", self.compile.as_millis())?;
        for (stage, time) in self.stages() {
            writeln!(out, "{stage:<10} {:>7} ns an event", self.each(time))?;
        }
        let (engine, wall) = (self.engine(), self.each(self.wall));
        let (decoded, through) = (per_second(engine), per_second(wall));
        writeln!(out, "engine     {engine:>7} ns an event: {decoded} decoded events/s on a core")?;
        let mega = |time| self.bytes_in(time) / 1_000_000;
        let (decode, all) = (mega(self.ended.spent.decode), mega(self.wall));
        writeln!(out, "decoding   {decode:>7} MB/s on a core")?;
        writeln!(out, "in all     {wall:>7} ns an event: {through} events/s, {all} MB/s")
    }
}

fn per_second(ns: u64) -> u64 {
    1_000_000_000 / ns.max(1)
}
