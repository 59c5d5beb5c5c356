//! The ways of enforcing that the guard has, behind one trait.

use kernel::enforce::cgroup::{self, Network};
use kernel::enforce::{self, Active, Counters, Enforcer, Generation};
use model::policy::Operation;

/// One way of enforcing.
pub(super) trait Tier: std::fmt::Debug {
    /// `lsm` or `fallback`.
    fn name(&self) -> &'static str;
    /// Operations that it cannot deny.
    fn lacks(&self) -> Vec<Operation>;
    /// What does not work here that could, and why.
    fn notes(&self) -> Vec<String>;
    /// Puts a generation in force; on an error the one before stays.
    fn apply(&mut self, generation: &Generation<'_>) -> Result<(), kernel::Error>;
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
        Ok(network) => Ok(Box::new(Fallback { network, lsm })),
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
        Vec::new()
    }

    fn notes(&self) -> Vec<String> {
        self.0.missing().iter().map(|(name, reason)| format!("{name}: {reason}")).collect()
    }

    fn apply(&mut self, generation: &Generation<'_>) -> Result<(), kernel::Error> {
        self.0.apply(generation)
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
    /// Why it is not the other.
    lsm: String,
}

/// What programs of cgroups can deny.
const OF_CGROUPS: &[Operation] = &[
    Operation::Connect,
    Operation::Bind,
    Operation::Listen,
    Operation::Accept,
    Operation::Send,
    Operation::Receive,
    Operation::RawSocket,
];

impl Tier for Fallback {
    fn name(&self) -> &'static str {
        "fallback"
    }

    fn lacks(&self) -> Vec<Operation> {
        Operation::ALL.iter().copied().filter(|one| !OF_CGROUPS.contains(one)).collect()
    }

    fn notes(&self) -> Vec<String> {
        let missing = self.network.missing().into_iter();
        let mut notes: Vec<String> =
            missing.map(|(name, reason)| format!("{name}: {reason}")).collect();
        notes.insert(0, format!("no LSM programs here: {}", self.lsm));
        notes
    }

    fn apply(&mut self, generation: &Generation<'_>) -> Result<(), kernel::Error> {
        self.network.apply(generation)
    }

    fn active(&self) -> Result<Option<Active>, kernel::Error> {
        self.network.active()
    }

    fn counters(&self) -> Result<Counters, kernel::Error> {
        self.network.counters()
    }

    fn denials(&self) -> Result<Vec<Vec<u8>>, kernel::Error> {
        self.network.denials()?.next(std::time::Duration::ZERO)
    }

    fn release(self: Box<Self>) -> Result<(), kernel::Error> {
        Ok(())
    }
}
