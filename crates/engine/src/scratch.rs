//! Buffers for values that are made on demand: filled at most once per event, kept for the next.

use std::cell::{Cell, OnceCell};

/// Capacity above which a buffer is not kept for the next event.
const KEEP_BYTES: usize = 16 << 10;

/// What a buffer holds in the event at hand.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Made {
    EntityId,
    CommandLine,
    Variables,
    CapsPermitted,
    CapsEffective,
    NamespacesChanged,
    ParentEntityId,
    ParentCommandLine,
    GroupLeaderEntityId,
    SessionLeaderEntityId,
    EntryLeaderEntityId,
    Ancestry,
    AncestorNames,
    TargetEntityId,
    FileChanged,
    SourceAddress,
    DestinationAddress,
    /// Number of the others.
    Count,
}

#[derive(Default)]
struct Buffer {
    filled: OnceCell<Vec<u8>>,
    spare: Cell<Vec<u8>>,
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Buffer").field("filled", &self.filled).finish_non_exhaustive()
    }
}

/// The buffers of one engine.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    buffers: [Buffer; Made::Count as usize],
    /// Bit set of the buffers in use.
    used: Cell<u32>,
}

impl Scratch {
    /// The value, made by `fill` if this event did not ask for it before.
    pub(crate) fn made(&self, what: Made, fill: impl FnOnce(&mut Vec<u8>)) -> &[u8] {
        let Some(buffer) = self.buffers.get(what as usize) else { return &[] };
        buffer.filled.get_or_init(|| {
            self.used.set(self.used.get() | 1 << what as u32);
            let mut bytes = buffer.spare.take();
            bytes.clear();
            fill(&mut bytes);
            bytes
        })
    }

    /// Makes all buffers ready for the next event.
    pub(crate) fn reset(&mut self) {
        let mut used = self.used.take();
        while used != 0 {
            let index = used.trailing_zeros();
            used &= used - 1;
            let Some(buffer) = self.buffers.get_mut(index as usize) else { return };
            let bytes = buffer.filled.take().unwrap_or_default();
            if bytes.capacity() <= KEEP_BYTES {
                buffer.spare.set(bytes);
            }
        }
    }
}
