//! What an engine knows, told to another: what a recording begins with.

use engine::{Engine, Recalled};

use crate::Block;

/// Blocks of all that an engine knows but the state of its rules.
pub fn of(engine: &Engine) -> Vec<Block> {
    let mut blocks = vec![Block::default()];
    engine.remember(&mut |known| {
        if blocks.last().is_none_or(Block::is_full) {
            blocks.push(Block::default());
        }
        let Some(block) = blocks.last_mut() else { return };
        match known {
            Recalled::Fact(fact) => block.fact(&fact),
            Recalled::Record(bytes) => block.known(whole(bytes)),
        }
    });
    blocks.retain(|block| !block.is_empty());
    blocks
}

/// Without the padding of rings.
fn whole(bytes: &[u8]) -> &[u8] {
    model::wire::Record::parse(bytes).map_or(bytes, |record| record.as_bytes())
}
