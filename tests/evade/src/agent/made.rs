//! Who made a file stays known when another agent takes over.

use std::fs;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

use super::build::Differs;
use super::scene::{Deed, Scene, at, no_read, policy};
use crate::cases::made;
use crate::lab::MAKER;

const FILE: &str = "/lab/made.yaml";
const MADE: Deed = Deed::Read("under/open/made");
const OTHER: Deed = Deed::Read("under/open/other");

/// A build whose maps are other ones takes over, is killed, and the first one comes again.
pub(super) fn outlives(scene: &mut Scene) -> Result<String> {
    let by =
        format!("{{id: made, subject: covered, deny: read, createdBy: {{executable: {MAKER}}}}}");
    fs::write(FILE, policy(&[no_read("one", "one"), by]))?;
    fs::create_dir_all(at("under/open"))?;
    scene.start(&["--enforce", "--policy", FILE])?;
    made::have("file", &at("under")).context("making a file")?;
    fs::write(at("under/open/other"), "text\n")?;
    scene.denied(&MADE, "made")?;
    let check = |scene: &Scene, when: &str| -> Result<()> {
        ensure!(scene.is_denied(&MADE)?, "{when}: it is not denied");
        ensure!(!scene.is_denied(&OTHER)?, "{when}: what another made is denied");
        Ok(())
    };
    check(scene, "before")?;
    let other = scene.other_build(Differs::Maps)?;
    ensure!(scene.end(Signal::SIGTERM)?.success(), "the first build did not end well");
    check(scene, "nobody runs")?;
    scene.start_build(&other, &["--enforce"])?;
    check(scene, "the other build")?;
    scene.end(Signal::SIGKILL)?;
    scene.start(&["--enforce"])?;
    check(scene, "the first build again")?;
    ensure!(scene.end(Signal::SIGTERM)?.success(), "it did not end well");
    scene.told(&["emergency", "disable", "--reason", "the next case begins anew"])?;
    scene.allowed(&MADE)?;
    Ok("known through two changes of the build".to_owned())
}
