//! Test: what the verifier has to follow stays within `bpf/budget.toml`.

use libbpf_rs::query::ProgInfoIter;

use crate::{Options, Sensors};

const BUDGET: &str = include_str!("../bpf/budget.toml");

#[test]
fn the_verifiers_work_stays_within_its_budget() {
    let sensors = Sensors::load(Options::default()).unwrap();
    let mut checked = 0;
    for line in BUDGET.lines().filter(|line| !line.starts_with('#')) {
        let (name, budget) = line.split_once(" = ").unwrap();
        let budget: u32 = budget.parse().unwrap();
        assert!(sensors.has_program(name), "{name} was refused");
        // The newest of that name is the one just loaded.
        let info = ProgInfoIter::default().filter(|info| info.name.to_string_lossy() == name);
        let used = info.last().map(|info| info.verified_insns).unwrap();
        assert!(used > 0, "{name}: this kernel does not count (before 5.16)");
        assert!(used <= budget + budget / 10, "{name}: {used} instructions, budget {budget}");
        checked += 1;
    }
    assert!(checked > 0, "the budget names programs");
}
