//! A clock that somebody sets, an hour forth and a day back. The clock of the host is everybody's, so what the agent
//! takes for it is that clock and what a file says.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};

use super::{Enforced, done};
use crate::lab::{Agent, root, until};
use crate::policies::{code, err};
use crate::prevention::PATIENCE;

/// Stands before the C library. Time since boot stays what it is, as under a clock that is set.
const CLOCK: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, id, now);
    FILE *file = failed || id != CLOCK_REALTIME ? NULL : fopen(getenv("TEST_CLOCK"), "re");
    long seconds = 0;
    if (file) {
        if (fscanf(file, "%ld", &seconds) == 1)
            now->tv_sec += seconds;
        fclose(file);
    }
    return failed;
}
"#;

fn library(set: &Enforced) -> PathBuf {
    let (source, library) = (set.scene.lab.path("clock.c"), set.scene.lab.path("clock.so"));
    fs::write(&source, CLOCK).unwrap();
    let [from, to] = [&source, &library].map(|path| path.to_str().unwrap());
    done("cc", &["-shared", "-fPIC", "-o", to, from]);
    library
}

/// Sets the clock so many seconds from that of the host. Renamed into place: nobody reads half of it.
fn set_clock(file: &Path, seconds: i64) {
    let new = file.with_extension("new");
    fs::write(&new, format!("{seconds}\n")).unwrap();
    fs::rename(new, file).unwrap();
}

/// Two looks at one clock differ by less, on a busy machine too.
const NEAR: SignedDuration = SignedDuration::from_secs(30);

/// How far the time of an alert about a program that is started now is from the clock of the host.
fn away(set: &Enforced, agent: &Agent) -> SignedDuration {
    let alert = agent.alert(set.scene.lab.run_scratch("x"), PATIENCE).expect("an alert");
    let told: Timestamp = alert["@timestamp"].as_str().unwrap().parse().unwrap();
    told.duration_since(Timestamp::now())
}

#[test]
fn a_clock_that_is_set_changes_times_and_nothing_else() {
    let test = "a_clock_that_is_set_changes_times_and_nothing_else";
    if !root(test) {
        return;
    }
    let set = Enforced::new();
    let (scene, lab) = (&set.scene, &set.scene.lab);
    // The worker, too, has to read it.
    fs::set_permissions(lab.path(""), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let file = lab.path("clock");
    set_clock(&file, 0);
    let mut command = lab.command();
    let policy = scene.policy("p.yaml", &scene.denying());
    command.args(["--enforce", "--on-exit", "release", "--policy"]).arg(policy);
    command.args(["--history", "16MiB,30m", "--state-dir"]).arg(lab.path("state"));
    command.env("LD_PRELOAD", library(&set)).env("TEST_CLOCK", &file);
    let agent = lab.launch(command);
    let off = away(&set, &agent);
    assert!(off.abs() < NEAR, "{off:?}");
    assert!(scene.is_denied());
    let peer = format!("127.0.0.1:{}", scene.port);
    let allowed = scene.ask(&["allow", "add", &peer, "--ttl", "30m", "--reason", "a test"]);
    assert_eq!(code(&allowed), Some(0), "{}", err(&allowed));
    assert!(!scene.is_denied());

    for hours in [1, -24] {
        set_clock(&file, hours * 3600);
        until("times are those of the clock", 3 * PATIENCE, || {
            (away(&set, &agent) - SignedDuration::from_hours(hours)).abs() < NEAR
        });
        // While one worker takes over from another there is a moment in which neither answers.
        let mut status = None;
        until("it answers", PATIENCE, || {
            status = lab.status();
            status.is_some()
        });
        assert_eq!(status.unwrap()["worker"]["restarts"], 0, "{hours}: nothing died of it");
        // What was to end at a time of day ends then, and nothing begins anew.
        until("an exception has ended", PATIENCE, || scene.is_denied());
    }
    let lost = set.figure("events_dropped_total", "ring=\"life\"");
    assert_eq!(lost, 0, "no event is lost over it");
    assert!(agent.stop().success());
}
