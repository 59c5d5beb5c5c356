//! `cargo xtask soak`: the agent under load for a long time, while rules and policies change, an output fails and
//! comes back, and its worker is killed.
//!
//! Time is cut into rounds. A round is calm, works, is calm again, and works once more while the worker is killed;
//! between two calm moments no worker ended, so what was sent and what was delivered can be held together.
//!
//! | module | does |
//! |---|---|
//! | `scene` | the agent, its rules, policies and output |
//! | `load` | what the host does meanwhile, and how much of it |
//! | `receiver` | the output, which fails when it is told to |
//! | `sample` | what each process has, once a second |
//! | `figures` | what the agent says of itself, and whether that agrees with itself |
//! | `verdict` | what all of it came to |

mod figures;
mod load;
mod receiver;
mod sample;
mod scene;
mod verdict;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::sh;
use scene::Scene;
use verdict::Verdict;

/// How long unless it is said otherwise.
const MINUTES: u64 = 30;
/// What CI has time for.
const SHORT: Duration = Duration::from_mins(1);
/// How long a round works, in all: a worker that lives for some of them shows what it gathers.
const ROUND: Duration = Duration::from_secs(20);
/// Rounds at least: the first one warms up, and one is compared with another.
const ROUNDS_MIN: u32 = 3;

/// What is asked for.
struct Wanted {
    time: Duration,
    json: bool,
    built: bool,
}

/// `xtask soak [--minutes N | --short] [--built] [-o json]`
pub(crate) fn command(args: &[String]) -> Result<ExitCode> {
    let wanted = read(args)?;
    if !sh::is_root() {
        println!("SKIP soak: the agent needs root");
        println!("0 passed, 0 failed, 1 skipped");
        return Ok(ExitCode::SUCCESS);
    }
    if !wanted.built {
        sh::build_release()?;
    }
    let verdict = run(wanted.time)?;
    if wanted.json {
        println!("{}", verdict.json());
    } else {
        print!("{}", verdict.text());
    }
    let (passed, failed) = verdict.counts();
    println!("{passed} passed, {failed} failed, 0 skipped");
    Ok(if failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn read(args: &[String]) -> Result<Wanted> {
    let time = Duration::from_secs(MINUTES * 60);
    let mut wanted = Wanted { time, json: false, built: false };
    let mut words = args.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "--minutes" => {
                let minutes: u64 = words.next().context("how many minutes?")?.parse()?;
                wanted.time = Duration::from_secs(minutes * 60);
            }
            "--short" => wanted.time = SHORT,
            "--built" => wanted.built = true,
            "-o" if words.next() == Some("json") => wanted.json = true,
            other => bail!("unknown option `{other}`"),
        }
    }
    Ok(wanted)
}

/// All rounds, and what they came to.
fn run(time: Duration) -> Result<Verdict> {
    let mut scene = Scene::start()?;
    let mut verdict = Verdict::default();
    let (start, mut round) = (Instant::now(), 0);
    while start.elapsed() < time || round < ROUNDS_MIN {
        let before = scene.calm(&mut verdict)?;
        scene.work(round, ROUND / 2, false, &mut verdict)?;
        let after = scene.calm(&mut verdict)?;
        verdict.compare(&before, &after);
        scene.work(round, ROUND / 2, true, &mut verdict)?;
        round += 1;
    }
    let last = scene.calm(&mut verdict)?;
    scene.settle(&mut verdict, &last, start.elapsed())?;
    Ok(verdict)
}

#[cfg(test)]
mod tests {
    #[test]
    fn how_long_is_the_operators_choice() {
        let read = |text: &str| {
            let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            super::read(&words).map(|wanted| (wanted.time.as_secs(), wanted.json))
        };
        assert_eq!(read("").unwrap(), (1_800, false));
        assert_eq!(read("--minutes 2 -o json").unwrap(), (120, true));
        assert_eq!(read("--short --built").unwrap(), (60, false));
        assert!(read("--hours 2").is_err() && read("-o xml").is_err());
    }
}
