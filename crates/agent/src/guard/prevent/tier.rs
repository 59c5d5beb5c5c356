//! The ways of enforcing that the guard has, behind one trait.

use std::sync::mpsc::Receiver;

use kernel::enforce::cgroup::{self, Network};
use kernel::enforce::guard::Guard;
use kernel::enforce::guard_offer::{Capability, Extent, capabilities};
use kernel::enforce::{self, Active, Counters, Enforcer, Generation, Mount};
use model::policy::Operation;

use super::Loaded;
use super::judge::{self, Policed};

/// One way of enforcing.
pub(super) trait Tier: std::fmt::Debug {
    /// `lsm` or `fallback`.
    fn name(&self) -> &'static str;
    /// Operations that it cannot deny.
    fn lacks(&self) -> Vec<Operation>;
    /// What does not work here that could, and why.
    fn notes(&self) -> Vec<String>;
    /// Puts a generation in force; on an error the one before stays.
    fn apply(&mut self, generation: &Generation<'_>, next: &Loaded) -> Result<(), String>;
    /// Whether it labels files by their inode and filesystem.
    fn pins(&self) -> bool;
    /// Tells of mounts.
    fn mounted(&mut self, mounts: &[Mount]) -> Result<(), String>;
    /// What is in force, read back from the kernel.
    fn active(&self) -> Result<Option<Active>, kernel::Error>;
    /// What was decided.
    fn counters(&self) -> Result<Counters, kernel::Error>;
    /// Records of what was denied since the last call.
    fn denials(&self) -> Result<Vec<Vec<u8>>, kernel::Error>;
    /// Ends enforcement.
    fn release(self: Box<Self>) -> Result<(), kernel::Error>;
}

/// The best way that this kernel really takes. With none, the reasons.
pub(super) fn choose(cgroup: Option<&std::path::Path>) -> Result<Box<dyn Tier>, String> {
    let lsm = match Enforcer::open(enforce::Options::default()) {
        Ok(enforcer) => match refused(enforcer.missing()) {
            None => return Ok(Box::new(Lsm(enforcer))),
            // Half a promise is none: what was attached goes again.
            Some(reason) => match enforcer.release() {
                Ok(()) => reason,
                Err(error) => format!("{reason}; {error}"),
            },
        },
        Err(error) => error.to_string(),
    };
    let cgroup = cgroup.map(std::path::Path::to_owned);
    let options = cgroup::Options { cgroup, ..cgroup::Options::default() };
    match Network::open(&options) {
        Ok(network) => {
            let offer = capabilities(options.cgroup.as_deref());
            Ok(Box::new(Fallback { network, files: None, denied: 0, offer, lsm }))
        }
        Err(error) => Err(format!("LSM programs: {lsm}; programs of cgroups: {error}")),
    }
}

/// Why LSM programs are no way of enforcing here: opening a file cannot be denied.
fn refused(missing: &[(String, String)]) -> Option<String> {
    let opening = missing.iter().find(|(name, _)| name == "enforce_open");
    opening.map(|(name, reason)| format!("{name}: {reason}"))
}

#[derive(Debug)]
struct Lsm(Enforcer);

impl Tier for Lsm {
    fn name(&self) -> &'static str {
        "lsm"
    }

    fn lacks(&self) -> Vec<Operation> {
        self.0.lacks().into_iter().map(|one| one.0).collect()
    }

    fn notes(&self) -> Vec<String> {
        self.0.missing().iter().map(|(name, reason)| format!("{name}: {reason}")).collect()
    }

    fn apply(&mut self, generation: &Generation<'_>, _: &Loaded) -> Result<(), String> {
        self.0.apply(generation).map_err(|error| error.to_string())
    }

    fn pins(&self) -> bool {
        true
    }

    fn mounted(&mut self, mounts: &[Mount]) -> Result<(), String> {
        self.0.mount(mounts).map_err(|error| error.to_string())
    }

    fn active(&self) -> Result<Option<Active>, kernel::Error> {
        self.0.active()
    }

    fn counters(&self) -> Result<Counters, kernel::Error> {
        self.0.counters()
    }

    fn denials(&self) -> Result<Vec<Vec<u8>>, kernel::Error> {
        self.0.denials()?.next(std::time::Duration::ZERO)
    }

    fn release(self: Box<Self>) -> Result<(), kernel::Error> {
        self.0.release()
    }
}

#[derive(Debug)]
struct Fallback {
    network: Network,
    files: Option<Files>,
    /// What guards of files denied that are gone.
    denied: u64,
    offer: Vec<Capability>,
    /// Why it is not the other.
    lsm: String,
}

/// The guard of files, and what it tells.
#[derive(Debug)]
struct Files {
    guard: Guard,
    records: Receiver<Vec<u8>>,
}

impl Tier for Fallback {
    fn name(&self) -> &'static str {
        "fallback"
    }

    fn lacks(&self) -> Vec<Operation> {
        let lacks = self.offer.iter().filter(|one| one.extent != Extent::Enforced);
        lacks.map(|one| one.operation).collect()
    }

    fn notes(&self) -> Vec<String> {
        let missing = self.network.missing().into_iter();
        let mut notes: Vec<String> =
            missing.map(|(name, reason)| format!("{name}: {reason}")).collect();
        notes.insert(0, format!("no LSM programs here: {}", self.lsm));
        let limited = self.offer.iter().filter(|one| !one.why.is_empty());
        notes.extend(limited.map(|one| {
            format!("{} {} by {}: {}", one.operation.name(), one.extent.name(), one.hook, one.why)
        }));
        notes
    }

    fn apply(&mut self, generation: &Generation<'_>, next: &Loaded) -> Result<(), String> {
        let files = if judge::is_needed(&next.tables) {
            judge::refuse(&next.tables)?;
            let judge = Policed::new(next.tables.clone(), &next.stored.about);
            let (judge, records) = judge.map_err(|error| format!("mounts: {error}"))?;
            let guard = Guard::start(Box::new(judge)).map_err(|error| error.to_string())?;
            Some(Files { guard, records })
        } else {
            None
        };
        self.network.apply(generation).map_err(|error| error.to_string())?;
        // Until here both guards are asked, so nothing comes through in between.
        if let Some(old) = std::mem::replace(&mut self.files, files) {
            self.denied += old.guard.counters().denied;
        }
        Ok(())
    }

    fn pins(&self) -> bool {
        false
    }

    fn mounted(&mut self, _: &[Mount]) -> Result<(), String> {
        Ok(())
    }

    fn active(&self) -> Result<Option<Active>, kernel::Error> {
        self.network.active()
    }

    fn counters(&self) -> Result<Counters, kernel::Error> {
        let mut counters = self.network.counters()?;
        let files = self.files.as_ref().map_or(0, |files| files.guard.counters().denied);
        counters.denied += self.denied + files;
        Ok(counters)
    }

    fn denials(&self) -> Result<Vec<Vec<u8>>, kernel::Error> {
        let mut records = self.network.denials()?.next(std::time::Duration::ZERO)?;
        records.extend(self.files.iter().flat_map(|files| files.records.try_iter()));
        Ok(records)
    }

    fn release(self: Box<Self>) -> Result<(), kernel::Error> {
        Ok(())
    }
}
