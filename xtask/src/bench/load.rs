//! The kinds of work whose cost is measured.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::agent;
use super::stats::Stats;
use crate::sh;

/// How much work one measurement does: slices, and operations in each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Amount {
    opens: (u64, u64),
    execs: (u64, u64),
    connects: (u64, u64),
    requests: (u64, u64),
}

/// Slices of some milliseconds (redis: of some tenths of a second), since others disturb only some
/// of them.
pub(super) const FULL: Amount =
    Amount { opens: (80, 2_000), execs: (40, 20), connects: (60, 200), requests: (5, 20_000) };
/// Enough to see that work is done.
pub(super) const SMOKE: Amount =
    Amount { opens: (2, 100), execs: (2, 5), connects: (2, 10), requests: (1, 1_000) };

/// What one measurement gives, in nanoseconds an operation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cost {
    /// How many operations were done.
    pub(super) operations: f64,
    /// Wall time of an undisturbed operation.
    pub(super) wall: f64,
    /// Processor time of an undisturbed operation.
    pub(super) cpu: f64,
}

/// One kind of work.
pub(super) struct Workload<'a> {
    /// What the table calls it.
    pub(super) name: &'static str,
    /// It takes seconds: done in some rounds only.
    pub(super) long: bool,
    /// Does it once.
    pub(super) measure: Box<dyn Fn() -> Result<Cost> + 'a>,
}

/// All workloads; without a redis server, the others.
pub(super) fn workloads<'a>(
    dir: &'a Path,
    redis: Option<&'a Redis>,
    amount: Amount,
) -> Result<Vec<Workload<'a>>> {
    let file = dir.join("uninteresting");
    std::fs::write(&file, [b'x'; 512])?;
    let load = |name, (slices, each): (u64, u64), words: &[&str]| {
        let mut args = vec!["--slices".to_owned(), slices.to_string()];
        args.extend(words.iter().map(|word| (*word).to_owned()));
        args.push(each.to_string());
        let measure = Box::new(move || driver(&args));
        Workload { name, long: false, measure }
    };
    let mut loads = vec![
        load("open+read+close", amount.opens, &["open", &file.to_string_lossy()]),
        load("fork+exec+wait of /bin/true", amount.execs, &["exec"]),
        load("TCP connect+accept+close, loopback", amount.connects, &["connect"]),
    ];
    if let Some(redis) = redis {
        let measure = Box::new(move || redis.measure(amount.requests));
        let name = "redis-benchmark SET and GET, a request";
        loads.push(Workload { name, long: false, measure });
    }
    let measure = Box::new(move || build(dir));
    loads.push(Workload { name: "build of the thiserror crate", long: true, measure });
    Ok(loads)
}

/// Runs `bench-load` on one processor, the last one: the first serves most interrupts.
fn driver(args: &[String]) -> Result<Cost> {
    let cpus = std::thread::available_parallelism()?.get();
    let mut command = sh::cmd("taskset");
    command.args(["--cpu-list", &(cpus - 1).to_string()]).arg(sh::release("bench-load")).args(args);
    cost(&mut command)
}

/// What `bench-load` says.
fn cost(command: &mut std::process::Command) -> Result<Cost> {
    let text = sh::capture(command)?;
    Cost::of(&text).with_context(|| format!("bench-load said `{}`", text.trim()))
}

impl Cost {
    /// From lines `operations wall cpu`, one a slice. Others lengthen some slices and shorten none:
    /// the quarter below which a quarter of them is tells what an undisturbed operation takes.
    fn of(text: &str) -> Option<Cost> {
        let (mut operations, mut wall, mut cpu) = (0.0, Vec::new(), Vec::new());
        for line in text.lines() {
            let mut numbers = line.split(' ').map(str::parse::<f64>);
            let mut next = || numbers.next()?.ok();
            let (done, time, busy) = (next()?, next()?, next()?);
            if done <= 0.0 {
                return None;
            }
            operations += done;
            wall.push(time / done);
            cpu.push(busy / done);
        }
        Some(Cost { operations, wall: Stats::of(&wall)?.low, cpu: Stats::of(&cpu)?.low })
    }
}

/// A crate of the lock file with its proc macros, from nothing.
fn build(dir: &Path) -> Result<Cost> {
    let target = dir.join("target");
    if target.exists() {
        std::fs::remove_dir_all(&target)?;
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let args = ["build", "--quiet", "--offline", "--package", "thiserror@2", "--jobs", "2"];
    let mut command = sh::cmd(sh::release("bench-load"));
    command.args(["run", "1"]).arg(cargo).args(args).arg("--target-dir").arg(&target);
    let cost = cost(&mut command)?;
    let made = std::fs::read_dir(target.join("debug/deps"))?.filter_map(Result::ok);
    let is_ours = |name: &str| name.starts_with("libthiserror-") && name.contains(".rlib");
    if !made.map(|entry| entry.file_name()).any(|name| is_ours(&name.to_string_lossy())) {
        bail!("the build made no libthiserror");
    }
    Ok(cost)
}

/// A redis server of our own; it ends with this value.
#[derive(Debug)]
pub(super) struct Redis {
    server: Child,
    socket: String,
    port: String,
}

impl Redis {
    /// Starts one on a free port of the loopback interface.
    pub(super) fn start(dir: &Path) -> Result<Redis> {
        let program: PathBuf = sh::find("redis-server").context("no redis-server")?;
        sh::find("redis-benchmark").context("no redis-benchmark")?;
        let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let port = free.port().to_string();
        let mut command = sh::cmd(program);
        command.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command.arg("--dir").arg(dir).stdout(Stdio::null()).stderr(Stdio::null());
        let server = command.spawn().context("redis-server")?;
        let redis = Redis { server, socket: free.to_string(), port };
        let up = || std::net::TcpStream::connect(&redis.socket).is_ok();
        if !agent::until(Duration::from_secs(10), up) {
            bail!("redis-server does not listen on {}", redis.socket);
        }
        Ok(redis)
    }

    /// Time a request. Processor time is that of the client and of the server.
    fn measure(&self, (slices, requests): (u64, u64)) -> Result<Cost> {
        let (operations, requests) = ((2 * requests).to_string(), requests.to_string());
        let mut command = sh::cmd(sh::release("bench-load"));
        command.args(["--slices", &slices.to_string(), "run", &operations, "redis-benchmark"]);
        command.args(["-p", &self.port, "-n", &requests, "-t", "set,get", "--csv"]);
        let before = agent::busy(self.server.id())?;
        let mut cost = cost(&mut command)?;
        let server = agent::busy(self.server.id())? - before;
        cost.cpu += server / cost.operations;
        Ok(cost)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_the_slices_is_enough_to_be_undisturbed() {
        let text = "10 100 90\n10 900 95\n10 110 90\n10 5000 90\n10 700 400\n";
        assert_eq!(Cost::of(text), Some(Cost { operations: 50.0, wall: 11.0, cpu: 9.0 }));
    }

    #[test]
    fn no_work_is_no_measurement() {
        assert_eq!(Cost::of("0 1000 10\n"), None, "nothing was done");
        assert_eq!(Cost::of("10 1000\n"), None, "no processor time");
        assert_eq!(Cost::of(""), None);
    }
}
