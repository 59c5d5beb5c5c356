//! What can still be reached from a state.
#![expect(clippy::indexing_slicing, reason = "states are numbered by the graph")]

use super::{DEAD, Graph};

/// For each state the join of the values of its own output and of all states after it. `join` must
/// not care about order or repetition, and 0 is its neutral value.
pub(crate) fn below(
    graph: &Graph,
    value: impl Fn(u32) -> u32,
    mut join: impl FnMut(u32, u32) -> u32,
) -> Vec<u32> {
    let mut below: Vec<u32> = graph.output.iter().map(|output| value(*output)).collect();
    below[DEAD as usize] = 0;
    let order = last_first(graph);
    // One pass is enough but for loops; each further one carries a value once more around.
    let mut changed = true;
    while changed {
        changed = false;
        for state in &order {
            let mut all = below[*state];
            let edges = graph.edges(*state).iter().map(|edge| edge.1);
            for next in edges.chain([graph.default[*state]]) {
                let next = below[next as usize];
                if next != all && next != 0 {
                    all = if all == 0 { next } else { join(all, next) };
                }
            }
            changed |= all != below[*state];
            below[*state] = all;
        }
    }
    below
}

/// States, each after those that it leads to, as far as loops allow.
pub(super) fn last_first(graph: &Graph) -> Vec<usize> {
    let mut order = Vec::with_capacity(graph.len());
    let mut seen = vec![false; graph.len()];
    let mut stack: Vec<(usize, usize)> = Vec::new();
    for root in 1..graph.len() {
        if std::mem::replace(&mut seen[root], true) {
            continue;
        }
        stack.push((root, 0));
        while let Some((state, at)) = stack.last_mut() {
            let edges = graph.edges(*state);
            let next = match edges.get(*at) {
                Some(edge) => edge.1,
                None if *at == edges.len() => graph.default[*state],
                None => {
                    order.push(*state);
                    stack.pop();
                    continue;
                }
            };
            *at += 1;
            if next != DEAD && !std::mem::replace(&mut seen[next as usize], true) {
                stack.push((next as usize, 0));
            }
        }
    }
    order
}
