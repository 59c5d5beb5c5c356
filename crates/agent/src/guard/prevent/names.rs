//! When names of policies may mean something else than before: a cgroup came or went, or users and
//! groups changed.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use super::containers::Containers;
use super::domains::Domains;
use super::host;

/// How often all is looked at although nothing seems to have changed: one cgroup may come while
/// another goes.
const PERIOD: Duration = Duration::from_secs(1);
/// Where users and groups are written.
const FILES: [&str; 2] = ["/etc/passwd", "/etc/group"];

/// What was seen last.
#[derive(Debug)]
pub(super) struct Names {
    stat: PathBuf,
    pub(super) containers: Containers,
    pub(super) domains: Domains,
    seen: (Option<String>, [Option<SystemTime>; 2]),
    looked: Instant,
}

impl Names {
    pub(super) fn new() -> Names {
        let stat = host::cgroup_root().join("cgroup.stat");
        Names {
            stat,
            containers: Containers::new(),
            domains: Domains::default(),
            seen: (None, [None; 2]),
            looked: Instant::now(),
        }
    }

    /// Whether it is worth to look names up again; costs little.
    pub(super) fn may_differ(&mut self) -> bool {
        // How many cgroups there are is its first line.
        let text = fs::read_to_string(&self.stat).ok();
        let count = text.and_then(|text| text.lines().next().map(str::to_owned));
        let files = FILES.map(|file| fs::metadata(file).and_then(|about| about.modified()).ok());
        let now = (count, files);
        let differs = now != self.seen || self.looked.elapsed() >= PERIOD;
        if differs {
            self.looked = Instant::now();
            self.seen = now;
        }
        differs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_number_of_cgroups_is_noticed_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let stat = directory.path().join("cgroup.stat");
        fs::write(&stat, "nr_descendants 3\nnr_dying_descendants 1\n").unwrap();
        let mut names = Names { stat: stat.clone(), ..Names::new() };
        assert!(names.may_differ(), "for the first time");
        fs::write(&stat, "nr_descendants 3\nnr_dying_descendants 2\n").unwrap();
        names.looked = Instant::now();
        assert!(!names.may_differ());
        fs::write(&stat, "nr_descendants 4\n").unwrap();
        assert!(names.may_differ());
        names.looked -= PERIOD;
        assert!(names.may_differ(), "from time to time anyway");
    }
}
