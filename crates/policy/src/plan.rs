//! What policies need, before anything is loaded.

use model::policy::Operation;

use crate::compile::Compiled;
use crate::error::Error;
use crate::limits::SUBJECTS_MAX;
use crate::paths::Sizes;
use crate::verdicts::OPERATIONS;

/// Sizes of a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Rules and allow lists.
    pub rules: usize,
    /// Different subjects, "every process" included.
    pub selectors: usize,
    /// Subjects for which there is room.
    pub selectors_left: usize,
    /// Labels of objects.
    pub labels: usize,
    /// Rows of masks.
    pub rows: usize,
    /// Sizes of the automata.
    pub paths: Sizes,
    /// Networks of both versions.
    pub networks: usize,
    /// Ranges of ports.
    pub ranges: usize,
    /// Names whose addresses will be learned.
    pub names: usize,
    /// Names of users, groups, cgroups, units and containers to look up on the host.
    pub symbols: usize,
    /// Bytes of all tables.
    pub bytes: usize,
    /// For each operation how many rules and lists are about it, those that nothing is left of not
    /// counted.
    pub operations: [(Operation, usize); OPERATIONS],
}

impl Compiled {
    /// Counts what the tables need.
    pub fn plan(&self) -> Result<Plan, Error> {
        let tables = &self.tables;
        let symbols = &self.symbols;
        let mut operations = [(Operation::Read, 0); OPERATIONS];
        for (slot, operation) in operations.iter_mut().zip(Operation::ALL) {
            let about = self.rules.iter().filter(|rule| {
                rule.effect != crate::verdicts::Effect::Expired && rule.operations.has(*operation)
            });
            *slot = (*operation, about.count());
        }
        Ok(Plan {
            rules: self.rules.len(),
            selectors: self.selectors.len(),
            selectors_left: SUBJECTS_MAX.saturating_sub(self.selectors.len()),
            labels: self.meanings.len(),
            rows: tables.verdicts.rows.len(),
            paths: self.sizes,
            networks: tables.network.v4.len() + tables.network.v6.len(),
            ranges: tables.network.ranges.len(),
            names: self.names.len(),
            symbols: symbols.users.len()
                + symbols.groups.len()
                + symbols.cgroups.len()
                + symbols.units.len()
                + symbols.containers.len(),
            bytes: tables.encode()?.len(),
            operations,
        })
    }
}
