//! The plain form: one row for each state, one entry for each class of bytes.
#![expect(clippy::indexing_slicing, reason = "classes are numbered here, 256 at most")]

use super::{Automaton, Graph};
use crate::error::{Error, number};
use crate::limits::BYTES_MAX;

/// Bytes that lead to the same state from every state have the same class.
fn classes(graph: &Graph) -> (Vec<u8>, usize) {
    let mut class = [0_u32; 256];
    // `/` never takes the default, so it is apart from the beginning.
    class[usize::from(b'/')] = 1;
    let mut next = 2;
    let mut size = [0_u32; 256 * 2];
    let mut seen: Vec<(u32, u32, u32, u32)> = Vec::new();
    for state in 0..graph.len() {
        seen.clear();
        for (byte, to) in graph.edges(state).iter().filter(|edge| edge.0 != b'/') {
            let old = class[usize::from(*byte)];
            match seen.iter_mut().find(|one| one.0 == old && one.1 == *to) {
                Some(one) => one.3 += 1,
                None => seen.push((old, *to, 0, 1)),
            }
        }
        size.fill(0);
        class.iter().for_each(|class| size[*class as usize] += 1);
        let mut changed = false;
        for one in &mut seen {
            // A class that goes as a whole to one state stays whole.
            if size[one.0 as usize] == one.3 {
                one.2 = one.0;
            } else {
                one.2 = next;
                next += 1;
                changed = true;
            }
        }
        if !changed {
            continue;
        }
        for (byte, to) in graph.edges(state).iter().filter(|edge| edge.0 != b'/') {
            let old = class[usize::from(*byte)];
            let new = seen.iter().find(|one| one.0 == old && one.1 == *to);
            class[usize::from(*byte)] = new.map_or(old, |one| one.2);
        }
        next = renumber(&mut class);
    }
    let count = renumber(&mut class);
    // 256 bytes have at most 256 classes.
    (class.iter().map(|class| u8::try_from(*class).unwrap_or(u8::MAX)).collect(), count as usize)
}

/// Closes gaps in the numbers; how many there are.
fn renumber(class: &mut [u32; 256]) -> u32 {
    let mut numbers = [u32::MAX; 256 * 2];
    let mut next = 0;
    for class in class.iter_mut() {
        let number = &mut numbers[*class as usize];
        if *number == u32::MAX {
            *number = next;
            next += 1;
        }
        *class = *number;
    }
    next
}

/// Lays out a graph.
pub(super) fn rows(graph: &Graph) -> Result<Automaton, Error> {
    let (classes, width) = classes(graph);
    if graph.len() * width * 4 > BYTES_MAX {
        return Err(Error::TooComplex { what: "bytes", max: BYTES_MAX });
    }
    let mut rows = Vec::with_capacity(graph.len() * width);
    let slash = usize::from(classes[usize::from(b'/')]);
    for state in 0..graph.len() {
        let first = rows.len();
        rows.resize(first + width, graph.default[state]);
        rows[first + slash] = super::DEAD;
        for (byte, to) in graph.edges(state) {
            rows[first + usize::from(classes[usize::from(*byte)])] = *to;
        }
    }
    Ok(Automaton::Dense { classes, width: number(width), rows })
}
