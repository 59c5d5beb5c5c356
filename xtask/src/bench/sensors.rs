//! What daily work costs with the agent and without, in turns, so that a machine that is slow for
//! a while is slow for both.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::agent::{self, Agent};
use super::stats::Stats;
use crate::sh;

/// Rounds of a full run; the spread shows whether they were enough.
const ROUNDS: usize = 11;

/// How much work one round does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Amount {
    opens: u64,
    execs: u64,
    connects: u64,
    requests: u64,
}

/// About half a second each.
const FULL: Amount = Amount { opens: 300_000, execs: 800, connects: 8_000, requests: 60_000 };
/// Enough to see that work is done.
pub(super) const SMOKE: Amount = Amount { opens: 100, execs: 5, connects: 10, requests: 1_000 };

/// One kind of work; measuring it gives nanoseconds an operation.
pub(super) struct Workload<'a> {
    /// What the table calls it.
    pub(super) name: &'static str,
    /// Does it once.
    pub(super) measure: Box<dyn Fn() -> Result<f64> + 'a>,
}

/// `xtask bench sensors`
pub(super) fn command() -> Result<()> {
    let dir = agent::scratch("sensors")?;
    let redis = Redis::start(&dir);
    if let Err(error) = &redis {
        println!("SKIP redis: {error:#}");
    }
    let loads = workloads(&dir, redis.as_ref().ok(), FULL)?;
    let mut without = vec![Vec::new(); loads.len()];
    let mut with = vec![Vec::new(); loads.len()];
    for round in 0..ROUNDS {
        eprintln!("round {} of {ROUNDS}", round + 1);
        // Neither side is always the first.
        for on in [round % 2 == 0, round % 2 != 0] {
            let agent = on.then(|| Agent::start(&dir, None)).transpose()?;
            let side = if on { &mut with } else { &mut without };
            for (load, times) in loads.iter().zip(side) {
                times.push((load.measure)().with_context(|| load.name)?);
            }
            agent.map(Agent::stop).transpose()?;
        }
    }
    println!("| work | without: median (quartiles) | with: median (quartiles) | change |");
    println!("|---|---|---|---|");
    for ((load, without), with) in loads.iter().zip(&without).zip(&with) {
        let (Some(without), Some(with)) = (Stats::of(without), Stats::of(with)) else { continue };
        let change = with.above(&without);
        println!("| {} | {} | {} | {change:+.1} % |", load.name, cell(&without), cell(&with));
    }
    println!("\n{ROUNDS} rounds, with and without in turns");
    std::fs::remove_dir_all(&dir).context("scratch directory")
}

fn cell(stats: &Stats) -> String {
    let (unit, divisor) = match stats.median {
        ns if ns < 10e3 => ("ns", 1.0),
        ns if ns < 10e6 => ("us", 1e3),
        ns if ns < 10e9 => ("ms", 1e6),
        _ => ("s", 1e9),
    };
    let [low, median, high] = [stats.low, stats.median, stats.high].map(|ns| ns / divisor);
    format!("{median:.1} {unit} ({low:.1} - {high:.1})")
}

/// All workloads; without a redis server, the others.
pub(super) fn workloads<'a>(
    dir: &'a Path,
    redis: Option<&'a Redis>,
    amount: Amount,
) -> Result<Vec<Workload<'a>>> {
    let file = dir.join("uninteresting");
    std::fs::write(&file, [b'x'; 512])?;
    let load =
        |name, args: Vec<String>| Workload { name, measure: Box::new(move || driver(&args)) };
    let words = |args: &[&str]| args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>();
    let opens = amount.opens.to_string();
    let mut loads = vec![
        load("open+read+close", words(&["open", &file.to_string_lossy(), &opens])),
        load("fork+exec+wait of /bin/true", words(&["exec", &amount.execs.to_string()])),
        load("TCP connect+close, loopback", words(&["connect", &amount.connects.to_string()])),
    ];
    if let Some(redis) = redis {
        let measure = Box::new(move || redis.measure(amount.requests));
        loads.push(Workload { name: "redis-benchmark SET and GET, a request", measure });
    }
    let measure = Box::new(move || build(dir));
    loads.push(Workload { name: "build of the thiserror crate", measure });
    Ok(loads)
}

/// Runs `bench-load`, which prints how much it did in how long.
fn driver(args: &[String]) -> Result<f64> {
    let text = sh::capture(sh::cmd(sh::release("bench-load")).args(args))?;
    per_operation(&text).with_context(|| format!("bench-load said `{}`", text.trim()))
}

/// `operations nanoseconds` -> nanoseconds an operation.
fn per_operation(text: &str) -> Option<f64> {
    let (operations, nanoseconds) = text.trim().split_once(' ')?;
    let (operations, nanoseconds): (f64, f64) =
        (operations.parse().ok()?, nanoseconds.parse().ok()?);
    (operations > 0.0).then(|| nanoseconds / operations)
}

/// A crate of the lock file with its proc macros, from nothing.
fn build(dir: &Path) -> Result<f64> {
    let target = dir.join("target");
    if target.exists() {
        std::fs::remove_dir_all(&target)?;
    }
    let start = Instant::now();
    let args = ["build", "--quiet", "--offline", "--package", "thiserror", "--jobs", "2"];
    sh::capture(sh::cargo().args(args).arg("--target-dir").arg(&target))?;
    let time = start.elapsed();
    let made = std::fs::read_dir(target.join("debug/deps"))?.filter_map(Result::ok);
    let is_ours = |name: &str| name.starts_with("libthiserror-") && name.contains(".rlib");
    if !made.map(|entry| entry.file_name()).any(|name| is_ours(&name.to_string_lossy())) {
        bail!("the build made no libthiserror");
    }
    Ok(time.as_secs_f64() * 1e9)
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

    /// Nanoseconds a request, from the requests a second that the tool reports.
    fn measure(&self, requests: u64) -> Result<f64> {
        let requests = requests.to_string();
        let args = ["-p", &self.port, "-n", &requests, "-t", "set,get", "--csv"];
        let text = sh::capture(sh::cmd("redis-benchmark").args(args))?;
        per_request(&text).with_context(|| format!("redis-benchmark said {text}"))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

/// Mean over the tests of `"SET","12345.67",…` lines.
fn per_request(csv: &str) -> Option<f64> {
    let rate = |line: &str| line.split(',').nth(1)?.trim_matches('"').parse::<f64>().ok();
    let times: Vec<f64> = csv.lines().filter_map(rate).map(|rate| 1e9 / rate).collect();
    // Both tests must be there.
    let [set, get] = times.as_slice() else { return None };
    Some(f64::midpoint(*set, *get))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_driver_s_line_is_read() {
        assert_eq!(per_operation("200 1000\n"), Some(5.0));
        assert_eq!(per_operation("0 1000\n"), None, "nothing was done");
        assert_eq!(per_operation("bad"), None);
    }

    #[test]
    fn redis_rates_become_times() {
        let csv = "\"test\",\"rps\"\n\"SET\",\"100000.00\",\"0.1\"\n\"GET\",\"50000.00\",\"0.1\"\n";
        assert_eq!(per_request(csv), Some(15_000.0));
        assert_eq!(per_request("\"test\",\"rps\"\n\"SET\",\"1.0\"\n"), None, "GET is missing");
    }

    #[test]
    fn a_cell_takes_its_unit_from_the_median() {
        let stats = Stats { low: 1_500_000.0, median: 2_000_000.0, high: 2_250_000.0 };
        assert_eq!(cell(&stats), "2000.0 us (1500.0 - 2250.0)");
    }
}
