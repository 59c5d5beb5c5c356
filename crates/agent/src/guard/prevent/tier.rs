//! The ways of enforcing that the guard has, behind one trait.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use kernel::enforce::cgroup::{self, Network};
use kernel::enforce::guard::Guard;
use kernel::enforce::guard::offer::{Capability, capabilities_of};
use kernel::enforce::{self, Active, Arming, Counters, Enforcer, Generation, Mount};
use policy::needs::Known;
use policy::subjects::Maps;

use super::Loaded;
use super::judge::{self, Policed};
use super::protect::Protect;
use super::told::Told;
use crate::cli::{OnExit, RunArgs};
use crate::policy::offer::Offer;
use crate::policy::pins;

/// One way of enforcing.
pub(super) trait Tier: std::fmt::Debug {
    /// `lsm` or `fallback`.
    fn name(&self) -> &'static str;
    /// What it can do.
    fn offer(&self) -> Offer;
    /// What does not work here that could, and why.
    fn notes(&self) -> Vec<String>;
    /// Puts a generation in force; on an error the one before stays.
    fn apply(&mut self, generation: &Generation<'_>, next: &Loaded) -> Result<(), String>;
    /// Puts the generation in force once more, since names mean something else now.
    fn resolve(&mut self, generation: &Generation<'_>, next: &Loaded) -> Result<(), String>;
    /// Whether it labels files by their inode and filesystem.
    fn pins(&self) -> bool;
    /// Tells of mounts.
    fn mounted(&mut self, mounts: &[Mount]) -> Result<(), String>;
    /// Processes that took the first steps of sequences.
    fn armings(&self) -> Result<Vec<Arming>, kernel::Error>;
    /// Puts one among them, or takes it away if no selector is left.
    fn arm(&mut self, arming: &Arming) -> Result<(), kernel::Error>;
    /// What is in force, read back from the kernel.
    fn active(&self) -> Result<Option<Active>, kernel::Error>;
    /// What was decided.
    fn counters(&self) -> Result<Counters, kernel::Error>;
    /// Records of what was denied since the last call.
    fn denials(&self) -> Result<Vec<Vec<u8>>, kernel::Error>;
    /// Sees to it that what outlives the agent is still where it was put; called each second.
    fn keep(&mut self) {}
    /// Lets go of everybody until something is put in force again.
    fn pause(&mut self) -> Result<(), kernel::Error>;
    /// Ends enforcement.
    fn release(self: Box<Self>) -> Result<(), kernel::Error>;
}

/// Where to enforce, and what becomes of it when the agent ends.
#[derive(Debug)]
pub(super) struct Place {
    cgroup: Option<PathBuf>,
    runtime: PathBuf,
    on_exit: OnExit,
    protect: Protect,
}

impl Place {
    pub(super) fn of(args: &RunArgs) -> Place {
        let (cgroup, runtime) = (args.cgroup.clone(), args.runtime_dir.clone());
        let protect = Protect::of(args);
        Place { cgroup, runtime, on_exit: args.on_exit, protect }
    }

    /// Whether enforcement goes on without the agent.
    pub(super) fn keeps(&self) -> bool {
        self.on_exit == OnExit::Keep
    }

    /// Whether strangers are kept from the agent.
    pub(super) fn protects(&self) -> bool {
        self.protect.denies()
    }

    /// Ends what another agent left.
    pub(super) fn release(&self) -> Result<bool, kernel::Error> {
        pins::release(&self.runtime)
    }
}

/// The best way that this kernel really takes. With none, the reasons.
pub(super) fn choose(place: &Place) -> Result<Box<dyn Tier>, String> {
    let lsm = match lsm() {
        Ok(enforcer) => {
            place.protect.begin(&enforcer)?;
            return Ok(Box::new(Lsm(enforcer)));
        }
        Err(reason) => reason,
    };
    if place.protect.denies() {
        return Err(format!("--self-protect needs LSM programs: {lsm}"));
    }
    let pins = place.keeps().then(|| pins::network(&place.runtime));
    let cgroup = place.cgroup.clone();
    let mut options = cgroup::Options { cgroup, pins, ..cgroup::Options::default() };
    let mut unpinned = None;
    let network = Network::open(&options).or_else(|error| {
        // Without a BPF filesystem it still enforces, as long as the agent runs.
        unpinned = options.pins.take().map(|_| error.to_string());
        Network::open(&options)
    });
    match network {
        Ok(network) => {
            let offer = capabilities_of(&network, &place.runtime);
            let pins = options.pins;
            let (files, told) = (None, Told::new());
            Ok(Box::new(Fallback { network, pins, unpinned, files, told, denied: 0, offer, lsm }))
        }
        Err(error) => Err(format!("LSM programs: {lsm}; programs of cgroups: {error}")),
    }
}

/// LSM programs, or why they are no way of enforcing here.
fn lsm() -> Result<Enforcer, String> {
    kernel::probe::lsm()?;
    let enforcer =
        Enforcer::open(enforce::Options::default()).map_err(|error| error.to_string())?;
    let Some(reason) = refused(enforcer.missing()) else { return Ok(enforcer) };
    // Half a promise is none: what was attached goes again.
    Err(match enforcer.release() {
        Ok(()) => reason,
        Err(error) => format!("{reason}; {error}"),
    })
}

/// Without which program LSM programs deny nothing: opening a file cannot be denied.
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

    fn offer(&self) -> Offer {
        let hashes = self.0.no_hashes().map(|why| (Known::Hash, why));
        let makers = self.0.no_makers().map(|why| (Known::Maker, why));
        let unknown = hashes.into_iter().chain(makers);
        Offer::lsm(self.0.lacks(), unknown).learning(kernel::answers::missing())
    }

    fn notes(&self) -> Vec<String> {
        self.0.missing().iter().map(|(name, reason)| format!("{name}: {reason}")).collect()
    }

    fn apply(&mut self, generation: &Generation<'_>, _: &Loaded) -> Result<(), String> {
        self.0.apply(generation).map_err(|error| error.to_string())
    }

    fn resolve(&mut self, generation: &Generation<'_>, next: &Loaded) -> Result<(), String> {
        self.apply(generation, next)
    }

    fn pins(&self) -> bool {
        true
    }

    fn mounted(&mut self, mounts: &[Mount]) -> Result<(), String> {
        self.0.mount(mounts).map_err(|error| error.to_string())
    }

    fn armings(&self) -> Result<Vec<Arming>, kernel::Error> {
        self.0.armings()
    }

    fn arm(&mut self, arming: &Arming) -> Result<(), kernel::Error> {
        self.0.arm(arming)
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

    fn pause(&mut self) -> Result<(), kernel::Error> {
        self.0.pause()
    }

    fn release(self: Box<Self>) -> Result<(), kernel::Error> {
        self.0.release()
    }
}

#[derive(Debug)]
struct Fallback {
    network: Network,
    /// Where that is pinned, or why it is not.
    pins: Option<PathBuf>,
    unpinned: Option<String>,
    files: Option<Files>,
    told: Told,
    /// What guards of files denied that are gone.
    denied: u64,
    offer: Vec<Capability>,
    /// Why it is not the other.
    lsm: String,
}

/// The guard of files, and what names mean to it.
#[derive(Debug)]
struct Files {
    guard: Guard,
    maps: Arc<Mutex<Maps>>,
}

impl Tier for Fallback {
    fn name(&self) -> &'static str {
        "fallback"
    }

    fn offer(&self) -> Offer {
        Offer::fallback(&self.offer).learning(kernel::answers::missing())
    }

    fn notes(&self) -> Vec<String> {
        let missing = self.network.missing().into_iter();
        let mut notes: Vec<String> =
            missing.map(|(name, reason)| format!("{name}: {reason}")).collect();
        notes.insert(0, format!("no LSM programs here: {}", self.lsm));
        let unpinned = self.unpinned.iter();
        notes.extend(unpinned.map(|why| format!("enforcement ends with the agent: {why}")));
        let limited = self.offer.iter().filter(|one| !one.why.is_empty());
        notes.extend(limited.map(|one| {
            format!("{} {} by {}: {}", one.operation.name(), one.extent.name(), one.hook, one.why)
        }));
        notes
    }

    fn apply(&mut self, generation: &Generation<'_>, next: &Loaded) -> Result<(), String> {
        let files = if judge::is_needed(&next.tables) {
            let maps = Arc::new(Mutex::new(next.maps.clone()));
            let (tables, about) = (next.tables.clone(), &next.stored.about);
            let judge = Policed::new(tables, about, Arc::clone(&maps), self.told.teller());
            let judge = judge.map_err(|error| format!("mounts: {error}"))?;
            let guard = Guard::start(Box::new(judge)).map_err(|error| error.to_string())?;
            Some(Files { guard, maps })
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

    fn resolve(&mut self, generation: &Generation<'_>, next: &Loaded) -> Result<(), String> {
        // First the files: the kernel takes its time until nobody decides by what was before.
        if let Some(files) = &self.files {
            *files.maps.lock().unwrap_or_else(PoisonError::into_inner) = next.maps.clone();
        }
        self.network.apply(generation).map_err(|error| error.to_string())
    }

    fn pins(&self) -> bool {
        false
    }

    fn mounted(&mut self, _: &[Mount]) -> Result<(), String> {
        Ok(())
    }

    fn armings(&self) -> Result<Vec<Arming>, kernel::Error> {
        self.network.armings()
    }

    fn arm(&mut self, arming: &Arming) -> Result<(), kernel::Error> {
        self.network.arm(arming)
    }

    fn active(&self) -> Result<Option<Active>, kernel::Error> {
        self.network.active()
    }

    fn counters(&self) -> Result<Counters, kernel::Error> {
        let mut counters = self.network.counters()?;
        let files = self.files.as_ref().map_or(0, |files| files.guard.counters().denied);
        counters.denied += self.denied + files;
        counters.lost += self.told.lost();
        counters.alike += self.told.alike();
        Ok(counters)
    }

    fn denials(&self) -> Result<Vec<Vec<u8>>, kernel::Error> {
        let mut records = self.network.denials()?.next(std::time::Duration::ZERO)?;
        records.extend(self.told.records());
        Ok(records)
    }

    fn keep(&mut self) {
        // Without pins from the beginning it was told why.
        if self.pins.is_none() {
            return;
        }
        match self.network.keep() {
            Ok(again) => {
                self.unpinned = None;
                if again {
                    tracing::warn!("the BPF filesystem was unmounted: all is pinned again");
                }
            }
            Err(error) => {
                let why = error.to_string();
                if self.unpinned.as_ref() != Some(&why) {
                    tracing::error!(why, "enforcement ends with the agent");
                }
                self.unpinned = Some(why);
            }
        }
    }

    fn pause(&mut self) -> Result<(), kernel::Error> {
        if let Some(old) = self.files.take() {
            self.denied += old.guard.counters().denied;
        }
        self.network.pause()
    }

    fn release(mut self: Box<Self>) -> Result<(), kernel::Error> {
        // Also what is pinned where nobody finds it any more decides nothing then.
        self.network.pause()?;
        self.pins.as_deref().map_or(Ok(()), |pins| Network::release(pins).map(drop))
    }
}
