//! A rule denies reading what is the lower layer of an overlay.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};

use super::Case;
use super::file::{own_mounts, read};

/// Mounts a directory as the lower layer, with the upper one in another place; gives what is merged.
pub(super) fn overlay(lower: &Path, upper: &Path) -> io::Result<PathBuf> {
    let [changed, work, merged] = ["changed", "work", "merged"].map(|name| upper.join(name));
    for directory in [&changed, &work, &merged] {
        fs::create_dir_all(directory)?;
    }
    let (lower, changed, work) = (lower.display(), changed.display(), work.display());
    let layers = format!("lowerdir={lower},upperdir={changed},workdir={work}");
    mount(Some("overlay"), &merged, Some("overlay"), MsFlags::empty(), Some(layers.as_str()))?;
    Ok(merged)
}

/// A place on another filesystem.
fn elsewhere(at: &Path) -> PathBuf {
    Path::new("/tmp").join(at.file_name().unwrap_or_default())
}

/// The same, mounted by this process for itself.
fn own(at: &Path, upper: &Path) -> io::Result<PathBuf> {
    own_mounts()?;
    fs::create_dir_all(upper)?;
    // Not every filesystem can be an upper layer.
    mount(Some("upper"), upper, Some("tmpfs"), MsFlags::empty(), None::<&str>)?;
    overlay(at, upper)
}

const SEEN: &str = "who asks for the file below is the kernel itself";

pub(super) const CASES: &[Case] = &[
    Case::new("overlay", "open through the merged path", "no-read", |at| {
        read(&own(at, &elsewhere(at))?.join("unreadable/f"))
    })
    .beyond(SEEN),
    Case::new("overlay", "both layers on one filesystem", "no-read", |at| {
        own_mounts()?;
        read(&overlay(at, &at.with_extension("upper"))?.join("unreadable/f"))
    })
    .beyond(SEEN),
    Case::new("overlay", "mounted by another", "no-read", |at| {
        read(&elsewhere(at).join("merged/unreadable/f"))
    })
    .after(|at| {
        let upper = elsewhere(at);
        fs::create_dir_all(&upper)?;
        mount(Some("upper"), &upper, Some("tmpfs"), MsFlags::empty(), None::<&str>)?;
        overlay(at, &upper).map(drop)
    })
    .beyond(SEEN),
    Case::new("overlay", "copy up by opening for writing", "no-read", |at| {
        let merged = own(at, &elsewhere(at))?;
        OpenOptions::new().append(true).open(merged.join("unreadable/f")).map(drop)
    })
    .beyond(SEEN),
    Case::new("overlay", "the merged path is what the rule names", "no-read", |at| {
        read(&at.join("unreadable/merged/f"))
    })
    .early(|at| {
        let lower = at.join("open/lower");
        fs::create_dir_all(&lower)?;
        fs::write(lower.join("f"), "text\n")?;
        overlay(&lower, &at.join("unreadable")).map(drop)
    }),
];
