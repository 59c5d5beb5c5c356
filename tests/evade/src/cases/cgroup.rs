//! A rule is about a cgroup: below it, in and out of it, and when it is made anew.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use super::Case;
use super::net::{DENIED, reach};
use super::subject::is_covered;
use crate::lab::{self, FREE};

/// The cgroup that a rule is about.
pub(crate) const BOXED: &str = "evade";
/// That of a rule that also follows who leaves.
pub(crate) const FOLLOWED: &str = "evade-followed";
/// One that no rule is about.
pub(crate) const OTHER: &str = "evade-other";

/// A cgroup of the covered process, or one that no rule is about.
fn group(at: &Path, inside: &str, below: &str) -> PathBuf {
    let name = if is_covered(at) { inside } else { OTHER };
    lab::cgroups().join(name).join(below)
}

/// Moves this process.
fn enter(group: &Path) -> io::Result<()> {
    fs::create_dir_all(group)?;
    fs::write(group.join("cgroup.procs"), std::process::id().to_string())
}

fn connect() -> io::Result<()> {
    reach((DENIED, 0), |port| (DENIED, port).into())
}

/// What connects at all, so that this process is known before it moves.
fn begin() -> io::Result<()> {
    reach((Ipv4Addr::LOCALHOST, 0), |port| (Ipv4Addr::LOCALHOST, port).into())
}

pub(super) const CASES: &[Case] = &[
    Case::new("cgroup", "a child of it", "no-box-peer", |at| {
        begin()?;
        enter(&group(at, BOXED, "child"))?;
        connect()
    })
    .by(FREE),
    Case::new("cgroup", "a grandchild of it", "no-box-peer", |at| {
        begin()?;
        enter(&group(at, BOXED, "child/of/it"))?;
        connect()
    })
    .by(FREE),
    Case::new("cgroup", "from a child to another", "no-box-peer", |at| {
        enter(&group(at, BOXED, "one"))?;
        begin()?;
        enter(&group(at, BOXED, "two"))?;
        connect()
    })
    .by(FREE),
    Case::new("cgroup", "out of it, where the rule follows", "no-followed", |at| {
        enter(&group(at, FOLLOWED, "inside"))?;
        begin()?;
        enter(&lab::cgroups().join(OTHER))?;
        connect()
    })
    .by(FREE),
    Case::new("cgroup", "removed and made anew", "no-box-peer", |at| {
        begin()?;
        enter(&group(at, BOXED, "again"))?;
        connect()
    })
    .after(|at| {
        let again = group(at, BOXED, "again");
        fs::create_dir_all(&again)?;
        fs::remove_dir(&again)
    })
    .by(FREE),
];
