//! What a loader of prevention leaves pinned.

use std::fs;
use std::path::{Path, PathBuf};

use kernel::enforce::{Enforcer, Options, provide, sets};

use super::harness::skipped;

/// A directory of pins of a test; gone with this value.
struct Pins(PathBuf);

impl Pins {
    fn new(name: &str) -> Pins {
        Pins(Path::new("/sys/fs/bpf").join(format!("aegisbpf-test-{name}-{}", std::process::id())))
    }

    fn options(&self) -> Options {
        Options { pins: self.0.clone(), blob_bytes: 64 << 10, ..Options::default() }
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).into_iter().flatten();
        entries.flatten().map(|one| one.file_name().to_string_lossy().into_owned()).collect()
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        for name in self.names() {
            // Only directories are left by tests that fail.
            drop(fs::remove_dir(self.0.join(name)));
        }
        drop(fs::remove_dir(&self.0));
    }
}

#[test]
fn nothing_stays_pinned_where_no_lsm_program_loads_and_when_it_is_released() {
    if skipped() {
        return;
    }
    let pins = Pins::new("none");
    match Enforcer::open(pins.options()) {
        Err(_) => {}
        Ok(enforcer) => {
            assert_eq!(sets(&pins.0).unwrap().len(), 1);
            enforcer.release().unwrap();
        }
    }
    assert!(!pins.0.exists(), "{:?}", pins.names());
}

#[test]
fn what_another_build_has_pinned_stays_when_a_loader_fails() {
    if skipped() {
        return;
    }
    let pins = Pins::new("other");
    provide(&pins.0).unwrap();
    let other = "layout-0-0000000000000000";
    fs::create_dir_all(pins.0.join(other)).unwrap();
    match Enforcer::open(pins.options()) {
        Err(_) => assert_eq!(pins.names(), [other], "and nothing but it"),
        // It goes when something is in force.
        Ok(enforcer) => {
            assert_eq!(sets(&pins.0).unwrap().len(), 2);
            enforcer.release().unwrap();
            assert!(!pins.0.exists());
        }
    }
}
