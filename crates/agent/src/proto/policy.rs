//! What may be asked about policies.

/// What may be asked about policies: by the worker what is in force, by root at the guard's own socket also
/// that it be changed. They are in the guard's store already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// What is in force?
    Show,
    /// Put this generation in force, on trial for so many seconds if not 0.
    Put(u64, u32),
    /// End enforcement.
    Disable,
    /// Take it up again.
    Enable,
    /// What was denied of late?
    Denials,
}

impl Policy {
    /// Whether it is more than a question: the worker may only ask.
    pub(crate) fn is_change(self) -> bool {
        matches!(self, Policy::Put(..) | Policy::Disable | Policy::Enable)
    }

    /// A number for the kind, and its fields.
    pub(super) fn words(self) -> (u8, u64, u32) {
        match self {
            Policy::Show => (0, 0, 0),
            Policy::Put(generation, trial) => (1, generation, trial),
            Policy::Disable => (2, 0, 0),
            Policy::Enable => (3, 0, 0),
            Policy::Denials => (4, 0, 0),
        }
    }
}
