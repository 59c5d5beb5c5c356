//! Output for people. Everything that comes from the host is escaped: a file name must not be
//! able to move the cursor or to look like another line.

pub(crate) mod alert;
pub(crate) mod compact;
pub(crate) mod denial;
mod detail;
pub(crate) mod escape;
pub(crate) mod export;
pub(crate) mod health;
pub(crate) mod table;

/// The operation that `doctor` calls so.
pub(crate) fn kind_by_name(name: &str) -> Option<model::op::Kind> {
    model::op::Kind::ALL.iter().copied().find(|kind| kind.name() == name)
}

/// A time of RFC 3339 without its zone and what is below a second.
pub(crate) fn seconds(time: &str) -> String {
    time.chars().take("2026-01-01T00:00:00".len()).collect()
}
