//! What a script can do wrong while it runs: the words of incidents, in one table.

macro_rules! causes {
    ($($name:ident, $word:literal, $counts:literal, $doc:literal;)*) => {
        /// Why there is an incident.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Cause { $(#[doc = $doc] $name),* }

        impl Cause {
            /// All of them.
            pub const ALL: &'static [Cause] = &[$(Cause::$name),*];

            /// The stable word.
            pub fn as_str(self) -> &'static str {
                match self { $(Cause::$name => $word),* }
            }

            /// Whether it counts towards quarantine.
            pub fn counts(self) -> bool {
                match self { $(Cause::$name => $counts),* }
            }

            /// What it means.
            pub fn doc(self) -> &'static str {
                match self { $(Cause::$name => $doc),* }
            }
        }
    };
}

causes! {
    Trap, "trap", true, "The code failed: an instruction trapped, or an error reached the host.";
    Budget, "budget", true, "The work of the call was used up. It stays used up, whatever the script catches.";
    Deadline, "deadline", true, "The call took too long by the clock: the backstop behind the budget of work.";
    Memory, "memory", true, "The script wanted more memory than it has. That counts also where the script catches it.";
    Stack, "stack", true, "Calls were nested too deeply.";
    Nonsense, "nonsense", true, "The answer is neither yes nor no, or the function does not take what the rule gives it.";
    Handle, "handle", true, "A handle, number or name that the host did not give out, or that is of an earlier call.";
    Pointer, "pointer", true, "A pointer or a length beyond the memory of the script.";
    Argument, "argument", true, "A host function was given what it does not take.";
    Flood, "flood", true, "More alerts, fields or requests than a call or a minute may have.";
    State, "state", false, "The state was full, and what would have expired first was forgotten. Told once a minute.";
    Refused, "refused", false, "The script asked for an action that it may not take. It is not done.";
}

/// What ended a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stop {
    /// Why.
    pub(crate) cause: Cause,
    /// For people; not yet escaped or cut.
    pub(crate) detail: String,
}

impl Stop {
    pub(crate) fn new(cause: Cause, detail: impl Into<String>) -> Stop {
        Stop { cause, detail: detail.into() }
    }
}

impl std::fmt::Display for Stop {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}: {}", self.cause.as_str(), self.detail)
    }
}

impl std::error::Error for Stop {}
