//! A cgroup that is cut off from the network: until its time is over, whoever is killed meanwhile.
#![expect(clippy::indexing_slicing, reason = "what JSON does not have is null")]

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::scene::Scene;
use crate::lab::{self, FREE};

/// The cgroup that is cut off.
const CUT: &str = "/sys/fs/cgroup/cut";
/// Who is sent something, behind an interface that is not the loopback one: that is never cut off.
const PEER: &str = "192.0.2.9:9";
const PEER_ALLOWED: &str = "192.0.2.10:9";
/// The interface of a kernel that has none: what is sent there arrives nowhere.
const INTERFACE: &str = "insmod /lib/modules/dummy.ko 2>/dev/null; ip link add away type dummy && \
                         ip addr add 192.0.2.1/24 dev away && ip link set away up";
/// For how long.
const SECONDS: u64 = 10;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// What sending a datagram comes to, by a process inside the cgroup or outside.
fn send(inside: bool, peer: &str) -> Result<String> {
    let moves = if inside { format!("echo $$ >{CUT}/cgroup.procs && ") } else { String::new() };
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{moves}exec {FREE} attempt send {peer}")]);
    Ok(lab::outcome(command.stdout(Stdio::piped()).spawn()?)?.1)
}

fn list(scene: &Scene) -> Result<Vec<Value>> {
    let told = scene.ask(&["isolate", "status", "-o", "json"])?.stdout;
    let status: Value = serde_json::from_slice(&told).context("isolate status")?;
    Ok(status["isolations"].as_array().cloned().unwrap_or_default())
}

/// The agent is killed meanwhile, and nobody else runs: the programs themselves know when it is over. What is
/// left of it is taken away by the next agent.
pub(super) fn ends(scene: &mut Scene) -> Result<String> {
    let made = Command::new("sh").args(["-c", INTERFACE]).status()?;
    ensure!(made.success(), "no interface to send by");
    fs::create_dir(CUT)?;
    ensure!(send(true, PEER)? == "ok", "sending does not work here, without isolation");
    let begin = Instant::now();
    let limit = format!("{SECONDS}s");
    let words = ["isolate", "begin", "--cgroup", CUT, "--for", &limit, "--reason", "a test"];
    scene.told(&[&words[..], &["--allow", PEER_ALLOWED]].concat())?;
    let cut = |scene: &Scene| -> Result<bool> {
        // Asked first: what is over is not listed any more.
        let is_listed = list(scene)?.len() == 1;
        let said = [send(true, PEER)?, send(false, PEER)?, send(true, PEER_ALLOWED)?];
        ensure!(said[1] == "ok", "outside of the cgroup, sending came to {}", said[1]);
        ensure!(said[2] == "ok", "sending to a named peer came to {}", said[2]);
        ensure!(["ok", "errno 1"].contains(&&*said[0]), "inside it came to {}", said[0]);
        let is_cut = said[0] != "ok";
        ensure!(is_listed || !is_cut, "it is not listed");
        Ok(is_cut)
    };
    ensure!(cut(scene)?, "the cgroup is not cut off");
    scene.end(Signal::SIGKILL)?;
    let mut looks = 0;
    while cut(scene)? {
        looks += 1;
        std::thread::sleep(PAUSE);
    }
    let lasted = begin.elapsed();
    ensure!(looks > 0, "it ended with the agent");
    ensure!(lasted >= Duration::from_secs(SECONDS), "it ended after {lasted:?}");
    scene.start(&["--enforce"])?;
    scene.until("what is over is taken away", |scene| Ok(list(scene)?.is_empty()))?;
    fs::remove_dir(CUT)?;
    Ok(format!("{looks} looks after kill -9, over after {} s", lasted.as_secs()))
}
