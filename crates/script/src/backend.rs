//! Which back end runs Wasm: native code where the system lets us make some, else an interpreter.

/// What runs Wasm modules. Both give the same answers for the same work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Backend {
    /// Machine code, made when a module is loaded.
    Native,
    /// An interpreter, for systems that allow no code to be made while they run.
    Pulley,
}

impl Backend {
    /// All of them.
    pub const ALL: &'static [Backend] = &[Backend::Native, Backend::Pulley];

    /// The word used in options and output.
    pub fn as_str(self) -> &'static str {
        match self {
            Backend::Native => "native",
            Backend::Pulley => "pulley",
        }
    }

    /// The back end that the word stands for.
    pub fn from_name(word: &str) -> Option<Backend> {
        Backend::ALL.iter().copied().find(|one| one.as_str() == word)
    }

    /// The faster one that works here, found by making a piece of code and running it, and why it is
    /// that one.
    pub fn pick() -> (Backend, &'static str) {
        match crate::wasm::native_works() {
            Ok(()) => (Backend::Native, "code can be made here: modules are compiled"),
            Err(_) => (
                Backend::Pulley,
                "the system refuses to make memory executable (MemoryDenyWriteExecute or the like): \
                 modules are interpreted, with the same answers",
            ),
        }
    }
}
