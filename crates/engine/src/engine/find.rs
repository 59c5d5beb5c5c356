//! A process that something else than a record tells of, such as a denial.

use super::Engine;
use crate::lineage::ancestors;
use crate::view::Ancestor;

/// What `/proc` tells the start of a process in, in nanoseconds.
const TICK: u64 = 10_000_000;

impl Engine {
    /// The process of that number which began then, `start` being known at least to the tick of `/proc`, and its known
    /// ancestors, parent first. Nothing if no record told of it yet.
    pub fn find(&self, pid: u32, start: u64) -> impl Iterator<Item = Ancestor<'_>> {
        let began = start..=start.saturating_add(TICK - 1);
        let slot = self.table.at(pid, *began.end());
        let process = slot.and_then(|slot| self.table.get(slot));
        let process = process.filter(move |known| began.contains(&known.key.start));
        let above = process.into_iter().flat_map(|process| ancestors(&self.table, process));
        process.into_iter().chain(above).map(|process| Ancestor::of(&self.host, process))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::program::Program;

    use super::*;
    use crate::process::Key;
    use crate::testing::{MS, Task, host, key};

    #[test]
    fn a_process_is_found_by_its_number_and_the_tick_in_which_it_began() {
        let init = Key { pid: 1, start: 10 * MS };
        let (parent, child) = (key(5, 107 * MS), Key { pid: 7, start: 234 * MS + 5 });
        let mut engine = Engine::new(Arc::new(Program::default()), host()).unwrap();
        let mut exec = |time, process, parent, exe| {
            let bytes = Task::exec(time, process, parent, exe).done();
            engine.push(&bytes.record(), &mut |_, _| {});
        };
        exec(110 * MS, parent, init, "/bin/a");
        exec(240 * MS, child, parent, "/bin/b");
        let pids = |pid, start| engine.find(pid, start).map(|one| one.pid).collect::<Vec<_>>();
        assert_eq!(pids(7, 234 * MS + 5), [7, 5, 1], "as the kernel says it");
        assert_eq!(pids(7, 230 * MS), [7, 5, 1], "as /proc says it");
        assert_eq!(pids(7, 240 * MS), [0; 0], "another one that had the number later");
        assert_eq!(pids(7, 220 * MS), [0; 0], "or before");
        assert_eq!(pids(8, 234 * MS), [0; 0]);
        let [own, above] = [child, parent].map(|one| engine.host.entity(one));
        let ids: Vec<_> = engine.find(7, 230 * MS).map(|one| one.entity_id).take(2).collect();
        assert_eq!(ids, [own, above], "as events name them");
    }
}
