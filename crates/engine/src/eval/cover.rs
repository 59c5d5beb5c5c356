//! Which predicates a filter waits for: a list of which one must hold for its condition to be true.
//! A filter is looked at if an event satisfies a predicate of its list, and else never.

use super::node::Node;

/// What there is to choose from.
pub(super) trait Choice {
    /// The truth of a condition, where it is known beforehand.
    fn known(&self, node: &Node) -> Option<bool>;
    /// What it costs to wait for these predicates.
    fn price(&self, list: &[u32]) -> u64;
}

/// The cheapest list of predicates of which one must hold for a condition to be `truth`, in order;
/// `None` if there is no such list.
pub(super) fn cover(node: &Node, truth: bool, choice: &dyn Choice) -> Option<Vec<u32>> {
    if let Some(known) = choice.known(node) {
        return (known != truth).then(Vec::new);
    }
    match (node, truth) {
        (Node::Not(inner), truth) => cover(inner, !truth, choice),
        (Node::And(parts), true) | (Node::Or(parts), false) => {
            let each = parts.iter().filter_map(|part| cover(part, truth, choice));
            each.min_by_key(|list| choice.price(list))
        }
        (Node::Or(parts), true) | (Node::And(parts), false) => {
            let each: Option<Vec<_>> =
                parts.iter().map(|part| cover(part, truth, choice)).collect();
            let mut list = each?.concat();
            list.sort_unstable();
            list.dedup();
            Some(list)
        }
        (Node::Predicate(number), true) => Some(vec![*number]),
        _ => None,
    }
}
