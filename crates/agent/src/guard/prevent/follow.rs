//! What changes on the host while policies are in force: mounts, names and their addresses.

use std::time::Instant;

use policy::Tables;

use super::names::Names;
use super::{Loaded, Prevention, host};
use crate::policy::store::Stored;

impl Names {
    /// A generation with what its names mean here and now.
    pub(super) fn meant(&mut self, stored: Stored) -> Result<Loaded, String> {
        let (maps, mut unknown) = host::names(&stored.about, &mut self.containers);
        let (tables, resolved) = self.addressed(&stored, &mut unknown)?;
        Ok(Loaded { stored, tables, resolved, maps, unknown })
    }

    /// Its tables with the addresses that its domains have now, and the same for the kernel if that is
    /// not what was stored.
    fn addressed(
        &self,
        stored: &Stored,
        unknown: &mut Vec<String>,
    ) -> Result<(Tables, Option<Vec<u8>>), String> {
        let said = |error: policy::Error| error.to_string();
        let tables = Tables::parse(&stored.tables).map_err(said)?;
        let mut known = Vec::new();
        for (name, class) in &stored.about.domains {
            let (before, shown) = (known.len(), format!("domain {name}"));
            known.extend(self.domains.of(name).map(|address| (*class, address)));
            unknown.retain(|one| *one != shown);
            if known.len() == before {
                unknown.push(shown);
            }
        }
        if known.is_empty() {
            return Ok((tables, None));
        }
        let tables = tables.resolved(&known).map_err(said)?;
        let bytes = tables.encode().map_err(said)?;
        Ok((tables, Some(bytes)))
    }
}

impl Loaded {
    /// The tables as the kernel gets them.
    pub(super) fn bytes(&self) -> &[u8] {
        self.resolved.as_deref().unwrap_or(&self.stored.tables)
    }
}

/// Whether these tables are those of a stored generation, or made from them.
pub(super) fn is_of(tables: &[u8], stored: &Stored) -> bool {
    tables == stored.tables
        || !stored.about.domains.is_empty()
            && Tables::parse(&stored.tables).is_ok_and(|before| {
                Tables::parse(tables).is_ok_and(|after| after.is_resolved_from(&before))
            })
}

impl Prevention {
    /// Rules about domains hold for the addresses that these have now.
    pub(super) fn follow_domains(&mut self, now: Instant) {
        let Some(active) = self.active.as_ref().filter(|_| self.tier.is_some()) else {
            return self.names.domains.want(std::iter::empty());
        };
        self.names.domains.want(active.stored.about.domains.iter().map(|one| one.0.as_str()));
        if !self.names.domains.follow(now) {
            return;
        }
        let mut next = active.clone();
        let done = match self.names.addressed(&next.stored, &mut next.unknown) {
            Ok((tables, resolved)) => {
                (next.tables, next.resolved) = (tables, resolved);
                // Nothing that files are judged by is another now.
                self.load_by(&next, |tier, generation| tier.resolve(generation, &next))
            }
            Err(error) => Err(error),
        };
        let ended = Instant::now();
        self.names.domains.told((now, ended));
        if let Err(error) = done {
            tracing::error!(error, "rules about domains hold for their addresses of before");
            return;
        }
        let ms =
            u64::try_from(ended.saturating_duration_since(now).as_millis()).unwrap_or(u64::MAX);
        tracing::info!(ms, "domains of the policies have other addresses now");
        self.active = Some(next);
    }

    /// Tells the kernel half of mounts that came.
    pub(super) fn follow_mounts(&mut self) {
        let (Some(active), Some(tier)) = (&self.active, &mut self.tier) else { return };
        if !tier.pins() {
            return;
        }
        let told = match host::mounts(&active.tables) {
            Ok(mounts) if mounts == self.mounts => return,
            Ok(mounts) => tier.mounted(&mounts).map(|()| self.mounts = mounts),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = told {
            tracing::error!(error, "files of new mounts are found by their paths only");
        }
    }

    /// Rules about cgroups, units, users and groups hold for those that came since, too.
    pub(super) fn follow_names(&mut self) {
        let Some(active) = self.active.as_ref().filter(|_| self.tier.is_some()) else { return };
        if active.stored.about.symbols.is_empty() || !self.names.may_differ() {
            return;
        }
        let (maps, unknown) = host::names(&active.stored.about, &mut self.names.containers);
        if maps == active.maps {
            return;
        }
        let next = Loaded { maps, unknown, ..active.clone() };
        match self.load_by(&next, |tier, generation| tier.resolve(generation, &next)) {
            Ok(()) => tracing::info!("names of the policies mean something else now"),
            Err(error) => {
                tracing::error!(error, "rules about what came since fit nobody yet");
                return;
            }
        }
        self.active = Some(next);
    }
}
