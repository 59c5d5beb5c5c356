//! Names whose addresses are known, as addresses.
//!
//! Compiled tables hold a class for each name and say nothing of its addresses, which come and go.
//! Whoever resolves names makes tables that hold both: an address of a name gets a class of its own
//! that stands for what holds for it anyway and for all of its names. So whoever decides looks an
//! address up as any other, and needs to know nothing of names.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use crate::error::{Error, number};
use crate::limits::LABEL_NUMBERS_MAX;
use crate::network::{NO_CLASS, Net, Range, plain};
use crate::tables::Tables;
use crate::verdicts::{Layer, OPERATIONS, Row, Verdicts};

impl Tables {
    /// The same tables, in which these addresses have what is said of these classes of names, too.
    /// An address that stands for none at all is left out.
    ///
    /// # Errors
    ///
    /// There are more ranges or labels than tables may hold.
    pub fn resolved(&self, names: &[(u32, IpAddr)]) -> Result<Tables, Error> {
        let mut known: BTreeMap<IpAddr, BTreeSet<u32>> = BTreeMap::new();
        for (class, address) in names {
            let address = plain(*address);
            if *class != NO_CLASS && !address.is_unspecified() {
                known.entry(address).or_default().insert(*class);
            }
        }
        let mut merging =
            Merging { tables: self.clone(), classes: HashMap::new(), labels: HashMap::new() };
        for (address, mut classes) in known {
            classes.insert(self.network.class(address));
            classes.remove(&NO_CLASS);
            let class = merging.class(classes.into_iter().collect())?;
            merging.place(address, class);
        }
        let network = &mut merging.tables.network;
        network.v4.sort_unstable();
        network.v6.sort_unstable();
        Ok(merging.tables)
    }

    /// Whether these tables were made so from others: all that was in those has its number still.
    pub fn is_resolved_from(&self, before: &Tables) -> bool {
        let (own, old) = (&self.verdicts, &before.verdicts);
        let layers = own.layers.len() == old.layers.len()
            && own.layers.iter().zip(&old.layers).all(|(own, old)| {
                own.rows.starts_with(&old.rows)
                    && (own.defaults, own.guarded) == (old.defaults, old.guarded)
            });
        let base = |tables: &Tables| (tables.generation, tables.expires);
        base(self) == base(before)
            && (&self.paths, &self.things) == (&before.paths, &before.things)
            && self.subjects.sets == before.subjects.sets
            && self.subjects.labels.starts_with(&before.subjects.labels)
            && self.network.ranges.starts_with(&before.network.ranges)
            && layers
            && own.rows.starts_with(&old.rows)
            && own.entries.starts_with(&old.entries)
    }
}

struct Merging {
    tables: Tables,
    /// Classes that stand for several.
    classes: HashMap<Vec<u32>, u32>,
    /// Labels that stand for several.
    labels: HashMap<Vec<u32>, u32>,
}

impl Merging {
    fn place(&mut self, address: IpAddr, class: u32) {
        let network = &mut self.tables.network;
        let (nets, prefix, address) = match address {
            IpAddr::V4(four) => (&mut network.v4, 32, u128::from(four.to_bits())),
            IpAddr::V6(six) => (&mut network.v6, 128, six.to_bits()),
        };
        match nets.iter_mut().find(|net| (net.prefix, net.address) == (prefix, address)) {
            Some(net) => net.class = class,
            None => nets.push(Net { prefix, address, class }),
        }
    }

    /// The class that stands for all of these.
    fn class(&mut self, of: Vec<u32>) -> Result<u32, Error> {
        if let [one] = of.as_slice() {
            return Ok(*one);
        }
        if let Some(known) = self.classes.get(&of) {
            return Ok(*known);
        }
        let edges: BTreeSet<u32> = (of.iter())
            .flat_map(|class| self.tables.network.of_class(*class))
            .flat_map(|range| [range.first, range.last.saturating_add(1)])
            .collect();
        let ends = edges.iter().skip(1).copied();
        let first = self.tables.network.ranges.len();
        for (from, end) in edges.iter().copied().zip(ends) {
            let labels = of.iter().map(|class| self.tables.network.label(*class, from));
            let labels: BTreeSet<u32> = labels.filter(|label| *label != 0).collect();
            let label = self.label(labels.into_iter().collect())?;
            let range = Range { first: from, last: end - 1, label };
            self.tables.network.push(first, range)?;
        }
        let network = &mut self.tables.network;
        let class = number(network.classes.len().saturating_sub(1));
        network.classes.push(number(network.ranges.len()));
        self.classes.insert(of, class);
        Ok(class)
    }

    /// The label that stands for all of these; 0 for none.
    fn label(&mut self, of: Vec<u32>) -> Result<u32, Error> {
        if let [] | [_] = of.as_slice() {
            return Ok(of.first().copied().unwrap_or_default());
        }
        if let Some(known) = self.labels.get(&of) {
            return Ok(*known);
        }
        let verdicts = &mut self.tables.verdicts;
        let label = verdicts.flags.len();
        if label >= LABEL_NUMBERS_MAX {
            return Err(Error::TooMany {
                what: "labels",
                max: LABEL_NUMBERS_MAX,
                found: label + 1,
                advice: "use fewer names, or names with fewer addresses",
            });
        }
        let flags = of.iter().filter_map(|label| verdicts.flags.get(*label as usize));
        let flags = flags.fold(0, |all, flags| all | flags);
        verdicts.flags.push(flags);
        for at in 0..verdicts.layers.len() {
            let rows = merged_rows(verdicts, at, &of);
            if let Some(layer) = verdicts.layers.get_mut(at) {
                layer.rows.push(rows);
            }
        }
        // A peer is no executable.
        self.tables.subjects.labels.push([0; 3]);
        let label = number(label);
        self.labels.insert(of, label);
        Ok(label)
    }
}

/// The row of each operation that says what the rows of all these labels say.
fn merged_rows(verdicts: &mut Verdicts, layer: usize, labels: &[u32]) -> [u32; OPERATIONS] {
    let mut rows = [0; OPERATIONS];
    for (operation, slot) in rows.iter_mut().enumerate() {
        let Some(layer) = verdicts.layers.get(layer) else { continue };
        let row = |label: &u32| row_of(layer, *label, operation).filter(|row| *row != 0);
        let of: BTreeSet<u32> = labels.iter().filter_map(row).collect();
        *slot = match of.len() {
            0 => 0,
            1 => of.first().copied().unwrap_or_default(),
            _ => merge(verdicts, &of),
        };
    }
    rows
}

fn row_of(layer: &Layer, label: u32, operation: usize) -> Option<u32> {
    layer.rows.get(label as usize)?.get(operation).copied()
}

fn merge(verdicts: &mut Verdicts, of: &BTreeSet<u32>) -> u32 {
    let rows = of.iter().filter_map(|row| verdicts.rows.get(*row as usize).copied());
    let mut entries = Vec::new();
    let merged = rows.fold(Row::default(), |all, row| {
        let first = row.first as usize;
        let own = verdicts.entries.get(first..first + row.count as usize);
        entries.extend_from_slice(own.unwrap_or_default());
        Row {
            deny: all.deny | row.deny,
            allow: all.allow | row.allow,
            except: all.except | row.except,
            audit: all.audit | row.audit,
            trigger: all.trigger | row.trigger,
            ..all
        }
    });
    entries.sort_unstable();
    entries.dedup();
    let (first, count) = (number(verdicts.entries.len()), number(entries.len()));
    verdicts.entries.extend(entries);
    verdicts.rows.push(Row { first, count, ..merged });
    number(verdicts.rows.len() - 1)
}
