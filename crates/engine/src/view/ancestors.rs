//! The ancestors of a process one by one, for outputs that show more than their names.

use model::value::Value;

use super::process::Args;
use super::{View, list, maybe};
use crate::host::Known;
use crate::lineage::ancestors;
use crate::process::Process;

/// A known process: an ancestor, or the one whose ancestors are asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ancestor<'a> {
    /// Its process id.
    pub pid: u32,
    /// Its identity for ever; 32 hexadecimal digits when printed.
    pub entity_id: u128,
    /// Its name.
    pub name: Value<'a>,
    /// Its executable.
    pub executable: Value<'a>,
    /// Its arguments, as far as they are kept.
    pub args: Value<'a>,
}

impl<'a> View<'a> {
    /// All known ancestors, parent first; at most [`crate::ANCESTORS_MAX`].
    pub fn ancestors(&self) -> impl Iterator<Item = Ancestor<'a>> {
        let (table, host) = (self.table, self.host);
        let all = self.process.into_iter().flat_map(move |process| ancestors(table, process));
        all.map(|process| Ancestor::of(host, process))
    }
}

impl<'a> Ancestor<'a> {
    /// What is known of a process.
    pub(crate) fn of(host: &Known, process: &'a Process) -> Ancestor<'a> {
        Ancestor {
            pid: process.key.pid,
            entity_id: host.entity(process.key),
            name: maybe(process.name()),
            executable: maybe(process.executable()),
            args: list(process.image.as_deref().map(Args::of).unwrap_or_default().bytes),
        }
    }
}
