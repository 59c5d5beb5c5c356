//! Every change of policy, in the audit log: who, what, the old and the new digest.

use std::path::Path;

use serde_json::{Value as Json, json};

use super::failed;
use crate::audit::Audit;
use crate::exit::Failure;

/// What actions of policies begin with in the log that all share; those of the emergency switch say so
/// themselves.
const POLICY: &str = "policy-";
const EMERGENCY: &str = "emergency-";
/// Bytes of a reason.
pub(crate) const REASON_MAX: usize = 1_000;

/// Who changes something.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Who {
    /// User of the process.
    pub(crate) uid: u32,
    /// User who logged in, whatever he became since; absent if nobody did.
    pub(crate) login_uid: Option<u32>,
    /// Who asked `sudo`, by its word.
    pub(crate) sudo_user: Option<String>,
    /// The process.
    pub(crate) pid: u32,
}

impl Who {
    /// This process.
    pub(crate) fn me() -> Who {
        let login = std::fs::read_to_string("/proc/self/loginuid").ok();
        let login = login.and_then(|text| text.trim().parse().ok());
        Who {
            uid: rustix::process::getuid().as_raw(),
            login_uid: login.filter(|uid| *uid != u32::MAX),
            sudo_user: std::env::var("SUDO_USER").ok(),
            pid: std::process::id(),
        }
    }

    /// A name for people.
    pub(crate) fn name(&self) -> String {
        let uid = self.login_uid.unwrap_or(self.uid);
        let user = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)).ok().flatten();
        let known = user.map(|user| user.name).or_else(|| self.sudo_user.clone());
        known.unwrap_or_else(|| uid.to_string())
    }
}

/// One change.
#[derive(Debug)]
pub(crate) struct Change<'a> {
    /// What was done, as `apply`.
    pub(crate) action: &'static str,
    /// Who did it.
    pub(crate) who: &'a Who,
    /// Why, in the words of who did it.
    pub(crate) reason: Option<&'a str>,
    /// The generation and digest before.
    pub(crate) before: Option<(u64, String)>,
    /// The generation and digest after.
    pub(crate) after: Option<(u64, String)>,
    /// The signed bundles that it came in, or why one was refused; null for what has none.
    pub(crate) bundles: Json,
    /// Whether an agent puts it in force.
    pub(crate) enforced_by: Option<String>,
}

pub(super) fn append(state: &Path, change: &Change<'_>) -> Result<(), Failure> {
    let side = |side: &Option<(u64, String)>| {
        side.as_ref()
            .map(|(generation, digest)| json!({ "generation": generation, "sha256": digest }))
    };
    let about = json!({
        "who": change.who,
        "reason": change.reason.map(shortened),
        "before": side(&change.before),
        "after": side(&change.after),
        "agent": change.enforced_by,
        "bundles": change.bundles,
    });
    let prefix = if change.action.starts_with(EMERGENCY) { "" } else { POLICY };
    let written = Audit::at(state).write(&format!("{prefix}{}", change.action), about);
    written.map(drop).map_err(|error| failed("write to the audit log in", state, &error))
}

/// A reason as the audit log takes it.
pub(crate) fn shortened(reason: &str) -> String {
    reason.chars().take(REASON_MAX).collect()
}

pub(super) fn read(state: &Path) -> Result<Vec<Json>, Failure> {
    let ours = |action: &str| action.starts_with(POLICY) || action.starts_with(EMERGENCY);
    let mut lines = Audit::at(state)
        .lines(ours)
        .map_err(|error| failed("read the audit log in", state, &error))?;
    for line in &mut lines {
        let Some(action) = line.get_mut("action") else { continue };
        if let Some(short) = action.as_str().and_then(|one| one.strip_prefix(POLICY)) {
            *action = short.to_owned().into();
        }
    }
    Ok(lines)
}
