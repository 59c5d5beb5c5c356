//! Each benchmark once and small: that it does real work, not how fast.

use std::process::ExitCode;

use anyhow::{Result, bail};

use super::{agent, flood, life, load};
use crate::outcome::Outcome;
use crate::sh;

/// `xtask bench --smoke`
pub(super) fn command() -> Result<ExitCode> {
    super::build()?;
    let mut total = loads()?;
    if sh::is_root() {
        total += report("flood", flood::run(2_000, 20));
        total += report("memory", life::memory_under(200));
        total += report("restart", life::restart_times(1, 10));
    } else {
        for name in ["flood", "memory", "restart"] {
            total += skip(name, "needs root");
        }
    }
    println!("{total}");
    Ok(if total.failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The loads of `sensors`, without an agent.
fn loads() -> Result<Outcome> {
    let dir = agent::scratch("smoke")?;
    let mut total = Outcome::default();
    let redis = load::Redis::start(&dir);
    if let Err(error) = &redis {
        total += skip("redis", &format!("{error:#}"));
    }
    for work in load::workloads(&dir, redis.as_ref().ok(), load::SMOKE)? {
        let measured = (work.measure)().and_then(|cost| {
            if cost.wall > 0.0 && cost.wall.is_finite() && cost.cpu > 0.0 {
                return Ok(());
            }
            bail!("{cost:?}")
        });
        total += report(work.name, measured);
    }
    drop(redis);
    std::fs::remove_dir_all(&dir)?;
    Ok(total)
}

fn report(name: &str, result: Result<()>) -> Outcome {
    match result {
        Ok(()) => {
            println!("ok   {name}");
            Outcome::PASS
        }
        Err(error) => {
            println!("FAIL {name}: {error:#}");
            Outcome::FAIL
        }
    }
}

fn skip(name: &str, reason: &str) -> Outcome {
    println!("SKIP {name}: {reason}");
    Outcome::SKIP
}
