//! Prevention: which generation of policies is in force, and how it got there.
//!
//! The guard reads generations from its own store, tables and all, that `aegisbpf policy` has put
//! there; it reads no text of a policy. The way of enforcing is loaded with the first generation: an
//! agent without a policy carries nothing.

mod arms;
mod canary;
mod containers;
mod domains;
mod evidence;
mod figures;
mod follow;
mod host;
mod judge;
mod keeper;
mod names;
mod protect;
mod running;
mod thing;
mod tier;
mod told;
mod view;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kernel::enforce::{Generation, Mount, Pin};
use model::policy::Operation;
use policy::Tables;
use policy::subjects::Maps;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use crate::audit::Audit;
use crate::cli::RunArgs;
use crate::exit::{Exit, Failure};
use crate::policy::offer::Offer;
use crate::policy::store::{About, Change, Store, Stored, Who};
use crate::proto::{Arm, Policy};
use arms::Arms;
use canary::{Canary, Verdict};
pub(crate) use domains::{as_nobody, read_answers, resolve};
use evidence::Evidence;
pub(super) use keeper::Keeper;
use names::Names;
use tier::{Place, Tier};

pub(in crate::guard) use {host::cgroup_root, judge::TICK, judge::started};

/// How often denials are counted and a trial is judged.
const PERIOD: Duration = Duration::from_secs(1);
/// Counts that are kept: what was usual within the last minute.
const COUNTS: usize = 60;

/// A generation in memory: what is needed to go back when no file can be read any more.
#[derive(Debug, Clone)]
pub(super) struct Loaded {
    stored: Stored,
    /// Its tables with the addresses that names have here.
    tables: Tables,
    /// The same for the kernel, if they are not what was stored.
    resolved: Option<Vec<u8>>,
    /// What its names mean on this host, and those that mean nothing.
    maps: Maps,
    unknown: Vec<String>,
}

/// Prevention on this host.
#[derive(Debug)]
pub(super) struct Prevention {
    store: Store,
    enforce: bool,
    place: Place,
    tier: Option<Box<dyn Tier>>,
    active: Option<Loaded>,
    canary: Option<Canary>,
    /// Whether the emergency switch is used: what is put in force meanwhile waits.
    off: bool,
    /// Why the last trial ended early.
    reverted: Option<String>,
    /// When names may mean something else.
    names: Names,
    /// Mounts that the kernel half was told of.
    mounts: Vec<Mount>,
    denied: VecDeque<u64>,
    looked: Instant,
    evidence: Evidence,
    arms: Arms,
    audit: Arc<Audit>,
}

impl Prevention {
    /// Nothing is loaded yet.
    pub(super) fn new(args: &RunArgs, audit: Arc<Audit>) -> Prevention {
        Prevention {
            store: Store::at(&args.state_dir),
            enforce: args.enforce,
            place: Place::of(args),
            tier: None,
            active: None,
            canary: None,
            off: false,
            reverted: None,
            names: Names::new(),
            mounts: Vec::new(),
            denied: VecDeque::new(),
            looked: Instant::now(),
            evidence: Evidence::default(),
            arms: Arms::default(),
            audit,
        }
    }

    /// Begins with the generation that was in force, if any.
    pub(super) fn begin(&mut self, (generation, off): (Option<u64>, bool)) -> Result<(), Failure> {
        self.off = off;
        let Some(generation) = generation else {
            // Without a policy there is still somebody to protect.
            if self.place.protects() {
                self.tier().map_err(|error| Failure::new(Exit::Failed, error))?;
            }
            return Ok(());
        };
        self.put(generation, Duration::ZERO).map_err(|error| {
            Failure::new(Exit::Failed, format!("cannot put the policies in force: {error}"))
                .help("`aegisbpf policy lint --tier fallback` names what this kernel lacks")
        })?;
        let tier = self.tier.as_ref().map_or("none", |tier| tier.name());
        tracing::info!(generation, tier, enforce = self.enforce, "policies are in force");
        Ok(())
    }

    /// Whether the emergency switch is used.
    pub(super) fn is_off(&self) -> bool {
        self.off
    }

    /// What is known of the generation in force.
    pub(super) fn about(&self) -> Option<&About> {
        self.active.as_ref().map(|one| &one.stored.about)
    }

    /// Does what the worker asks, and tells how things stand then.
    pub(super) fn answer(&mut self, number: u32, asked: Policy) -> Json {
        let done = match asked {
            Policy::Denials => {
                return json!({ "number": number, "denials": self.evidence.list() });
            }
            Policy::Show => Ok(()),
            Policy::Put(generation, trial) => {
                self.put(generation, Duration::from_secs(trial.into()))
            }
            Policy::Disable => self.release(),
            Policy::Enable => self.resume(),
        };
        if let Policy::Put(generation, _) = asked {
            match &done {
                Ok(()) => tracing::info!(generation, "policies are in force"),
                Err(error) => tracing::warn!(generation, error, "policies were not put in force"),
            }
        }
        let mut document = self.document();
        if let Some(map) = document.as_object_mut() {
            map.insert("number".to_owned(), number.into());
            map.insert("error".to_owned(), done.err().into());
        }
        document
    }

    /// Puts a stored generation in force, on trial if so long is given.
    pub(super) fn put(&mut self, generation: u64, trial: Duration) -> Result<(), String> {
        let stored = self.store.read(generation).map_err(|failure| failure.to_string())?;
        if stored.about.enforce && !self.enforce {
            return Err("the agent was started without --enforce".to_owned());
        }
        let next = self.names.meant(stored)?;
        if !self.off {
            self.load(&next)?;
        }
        let before = self.active.replace(next);
        self.reverted = None;
        let usual = self.denied.back().zip(self.denied.front()).map_or(0, |(new, old)| new - old);
        self.canary = (!trial.is_zero() && !self.off)
            .then(|| Canary::new((Instant::now(), trial), before, self.count(), usual));
        Ok(())
    }

    /// Loads a generation into the kernel.
    fn load(&mut self, next: &Loaded) -> Result<(), String> {
        let offer = self.tier()?.offer();
        if let Some(refused) = next.stored.about.refused_by(&offer) {
            return Err(refused);
        }
        view::judge(&next.tables)?;
        self.load_by(next, |tier, generation| tier.apply(generation, next))?;
        if !next.unknown.is_empty() {
            let names = next.unknown.join(", ");
            tracing::warn!(names, "names that mean nothing here: rules about them fit nobody yet");
        }
        Ok(())
    }

    fn load_by(
        &mut self,
        next: &Loaded,
        put: impl FnOnce(&mut dyn Tier, &Generation<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        let mounts = host::mounts(&next.tables).map_err(|error| format!("mounts: {error}"))?;
        let left = if self.active.is_none() { self.left()? } else { None };
        let is_first = self.active.is_none();
        let before = self.active.as_ref().map(|one| &one.stored.about).or(left.as_ref());
        let carry = host::carry(before, &next.stored.about);
        let tier = self.tier()?;
        let files =
            if tier.pins() { host::pins(&next.tables, &next.stored.about) } else { Vec::new() };
        let pins = files.iter().map(|(file, labels)| Pin {
            file: std::os::fd::AsFd::as_fd(file),
            labels: labels.clone(),
        });
        let generation = Generation {
            tables: next.bytes(),
            mounts: mounts.clone(),
            ids: host::ids(&next.maps),
            pins: pins.collect(),
            carry,
        };
        put(tier.as_mut(), &generation)?;
        if is_first {
            let armings = tier.armings().map_err(|error| error.to_string())?;
            self.arms = Arms::found(&armings, &next.stored.about);
        }
        self.mounts = mounts;
        Ok(())
    }

    /// What an agent before this one left in force: what processes inherited then still counts.
    fn left(&mut self) -> Result<Option<About>, String> {
        let active = self.tier()?.active().map_err(|error| error.to_string())?;
        let Some(active) = active else { return Ok(None) };
        let generation = active.generation;
        let known =
            self.store.read(generation).ok().filter(|one| follow::is_of(&active.tables, one));
        if known.is_none() {
            tracing::warn!(
                generation,
                "unknown policies are in force; what processes inherited by them is lost"
            );
        }
        Ok(known.map(|one| one.about))
    }

    fn tier(&mut self) -> Result<&mut Box<dyn Tier>, String> {
        if self.tier.is_none() {
            self.tier = Some(tier::choose(&self.place)?);
        }
        self.tier.as_mut().ok_or_else(String::new)
    }

    /// A process took the first steps of a sequence, says the worker.
    pub(super) fn arm(&mut self, arm: &Arm) {
        let (Some(active), Some(tier)) = (&self.active, &mut self.tier) else { return };
        let done = self.arms.add(arm, &active.stored.about, tier.as_mut());
        if let Err(reason) = done {
            let (rule, pid) = (&arm.rule, arm.pid);
            tracing::warn!(rule, pid, reason, "the last step of a sequence is not denied");
            let about = serde_json::json!({ "rule": rule, "pid": pid, "reason": reason });
            self.audit.note_of(rule, "arm-refused", about);
        }
    }

    /// Lets go of processes whose time is over.
    fn disarm(&mut self, ended: bool) {
        let (Some(active), Some(tier)) = (&self.active, &mut self.tier) else { return };
        if let Err(error) = self.arms.expire(&active.stored.about, tier.as_mut(), ended) {
            tracing::warn!(error, "a process stays denied what its sequence ended with");
        }
    }

    /// Denials that the worker was not told yet, as text for it; none if there are none.
    pub(super) fn fresh(&mut self) -> Option<(usize, String)> {
        let fresh = self.evidence.fresh();
        (!fresh.is_empty()).then(|| (fresh.len(), json!(fresh).to_string()))
    }

    /// The worker could not be told so many.
    pub(super) fn untold(&mut self, denials: usize) {
        self.evidence.untold(denials);
    }

    /// What [`Prevention::service`] is worth to be called for at once when it can be read.
    pub(super) fn fds(&self) -> impl Iterator<Item = std::os::fd::BorrowedFd<'_>> {
        self.names.domains.fds()
    }

    /// Looks after a trial; called several times a second.
    pub(super) fn service(&mut self) {
        let now = Instant::now();
        self.disarm(false);
        let told = self.tier.as_ref().map(|tier| tier.denials());
        match told {
            Some(Ok(records)) => {
                let about = self.active.as_ref().map(|one| &one.stored.about);
                self.evidence.take(&records, about, &self.audit);
            }
            Some(Err(error)) => tracing::warn!(%error, "denials cannot be read"),
            None => {}
        }
        self.follow_names();
        self.follow_domains(now);
        self.audit.service(false);
        if self.tier.is_none() || now.saturating_duration_since(self.looked) < PERIOD {
            return;
        }
        self.looked = now;
        self.disarm(true);
        self.follow_mounts();
        if let Some(tier) = &mut self.tier {
            tier.keep();
        }
        let denied = self.count();
        if self.denied.len() == COUNTS {
            self.denied.pop_front();
        }
        self.denied.push_back(denied);
        match self.canary.as_ref().map(|canary| canary.judge(now, denied)) {
            None | Some(Verdict::Waiting) => {}
            Some(Verdict::Passed) => {
                tracing::info!("the new policies passed their trial");
                self.canary = None;
            }
            Some(Verdict::Failed(reason)) => self.revert(reason),
        }
    }

    /// The worker ended: during a trial the policies are held to be the cause.
    pub(super) fn suffered(&mut self) {
        if self.canary.is_some() {
            self.revert("the worker ended".to_owned());
        }
    }

    /// Goes back to what was in force before the trial. It is in memory: no file need be read.
    fn revert(&mut self, reason: String) {
        let Some(canary) = self.canary.take() else { return };
        let back = canary.before.map(|one| *one);
        let done = match &back {
            // Who is locked out may be this process: then it lets go of everybody first.
            Some(before) => self.load(before).or_else(|error| {
                tracing::error!(error, "enforcement is let go of to go back");
                let paused = self.tier.as_mut().map_or(Ok(()), |tier| tier.pause());
                paused.map_err(|error| error.to_string()).and_then(|()| self.load(before))
            }),
            None => self
                .tier
                .take()
                .map_or(Ok(()), |tier| tier.release().map_err(|error| error.to_string())),
        };
        if let Err(error) = done {
            tracing::error!(error, "the policies before cannot be put in force again");
            return;
        }
        tracing::error!(reason, "the new policies failed their trial; those before are in force");
        self.write_down(self.active.as_ref(), back.as_ref(), &reason);
        self.active = back;
        self.reverted = Some(reason);
    }

    /// Says in the store what happened. Somebody may have the store for a while, who waits for us.
    fn write_down(&self, failed: Option<&Loaded>, back: Option<&Loaded>, reason: &str) {
        let side = |one: Option<&Loaded>| {
            one.map(|one| (one.stored.about.generation, one.stored.about.sha256.clone()))
        };
        let (before, after) = (side(failed), side(back));
        let (store, reason) = (self.store.clone(), reason.to_owned());
        let by = self.tier.as_ref().map(|tier| tier.name().to_owned());
        let write = move || -> Result<(), Failure> {
            let locked = store.lock()?;
            let generation = after.as_ref().map(|one| one.0);
            let (who, reason) = (&Who::me(), Some(reason.as_str()));
            let action = "trial-failed";
            let bundles = serde_json::Value::Null;
            locked.log(&Change { action, who, reason, before, after, bundles, enforced_by: by })?;
            locked.point(generation)
        };
        let thread = std::thread::Builder::new().name("store".into()).spawn(move || {
            if let Err(failure) = write() {
                tracing::error!(%failure, "the store does not tell that the trial failed");
            }
        });
        if let Err(error) = thread {
            tracing::error!(%error, "the store does not tell that the trial failed");
        }
    }

    /// The agent ends: what it enforces goes on, or goes, as the operator said.
    pub(super) fn end(&mut self) {
        self.let_go();
        self.audit.note("agent-stopped", json!({ "enforced_on": self.place.keeps() && !self.off }));
        self.audit.service(true);
    }

    /// Lets go of what is enforced, unless that is to stay.
    fn let_go(&mut self) {
        if self.place.keeps() || self.off {
            return;
        }
        let released = match self.tier.take() {
            Some(tier) => tier.release(),
            None => self.place.release().map(drop),
        };
        match released {
            Ok(()) => tracing::info!("enforcement ends with the agent"),
            Err(error) => tracing::error!(%error, "enforcement goes on without the agent"),
        }
    }

    /// Ends enforcement until further notice.
    pub(super) fn release(&mut self) -> Result<(), String> {
        self.canary = None;
        self.off = true;
        self.arms = Arms::default();
        self.tier.take().map_or(Ok(()), |tier| tier.release().map_err(|error| error.to_string()))
    }

    /// Takes up enforcement again with the generation that was in force.
    pub(super) fn resume(&mut self) -> Result<(), String> {
        self.off = false;
        match self.active.clone() {
            Some(active) => self.load(&active),
            None => Ok(()),
        }
    }

    fn count(&self) -> u64 {
        let tier = self.tier.as_ref();
        tier.and_then(|tier| tier.counters().ok()).map_or(0, |counters| counters.denied)
    }

    /// What is in force, as the kernel has it, for `policy show`.
    pub(super) fn document(&mut self) -> Json {
        let mode = if self.enforce { "enforce" } else { "audit" };
        // Whoever asks what can be enforced here must get an answer before there is a policy.
        let chosen = if self.off {
            Err("the emergency switch is used".to_owned())
        } else {
            self.tier().map(|tier| (tier.name(), tier.offer(), tier.notes()))
        };
        let (name, offer, notes) = match chosen {
            Ok((name, offer, notes)) => (Some(name), offer, notes),
            // What waits is not held against what is missing now.
            Err(reason) if self.off => (None, Offer::default(), vec![reason]),
            Err(reason) => (None, Offer::nothing(&reason), vec![reason]),
        };
        let lacks: Vec<&str> = offer.lacks().map(Operation::name).collect();
        let active = self.tier.as_ref().and_then(|tier| tier.active().transpose());
        let in_kernel = active.map(|active| match active {
            Ok(active) => {
                let digest = Sha256::digest(&active.tables);
                let own = self.active.as_ref().map(|one| Sha256::digest(one.bytes()));
                json!({
                    "generation": active.generation,
                    "changes": active.epoch,
                    "bytes": active.tables.len(),
                    "is_what_was_given": own == Some(digest),
                })
            }
            Err(error) => json!({ "error": error.to_string() }),
        });
        let counters = self.tier.as_ref().and_then(|tier| tier.counters().ok());
        json!({
            "tier": name,
            "mode": mode,
            "disabled": self.off,
            "lacks": lacks,
            "missing": offer.document(),
            "notes": notes,
            "generation": self.active.as_ref().map(|one| one.stored.about.generation),
            "in_kernel": in_kernel,
            "armed": self.arms.len(),
            "denied": counters.map(|one| one.denied),
            "would_deny": counters.map(|one| one.would_deny),
            "decisions_lost": counters.map(|one| one.lost),
            "unknown_names": self.active.as_ref().map_or(&[][..], |one| &one.unknown),
            "domains": self.names.domains.document(),
            "trial_left_s": self.canary.as_ref().map(|one| one.left(Instant::now())),
            "trial_failed": self.reverted,
        })
    }
}
