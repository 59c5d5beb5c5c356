//! Why a script is not loaded: one table, from which the documentation is made too.

/// A script that is not run. It answers no; whoever loads leaves out the rules that ask it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Number of the script in the program.
    pub script: u32,
    /// Stable code, `S001` and so on.
    pub code: &'static str,
    /// What is wrong, and where.
    pub message: String,
    /// What to do about it.
    pub help: &'static str,
}

macro_rules! refusals {
    ($($name:ident, $code:literal, $what:literal, $help:literal;)*) => {
        /// A reason to refuse a script.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Refusal { $(#[doc = $what] $name),* }

        impl Refusal {
            /// All of them, in the order of their codes.
            pub const ALL: &'static [Refusal] = &[$(Refusal::$name),*];

            /// The stable code.
            pub fn code(self) -> &'static str {
                match self { $(Refusal::$name => $code),* }
            }

            /// What is wrong.
            pub fn what(self) -> &'static str {
                match self { $(Refusal::$name => $what),* }
            }

            /// What to do.
            pub fn help(self) -> &'static str {
                match self { $(Refusal::$name => $help),* }
            }
        }
    };
}

refusals! {
    Empty, "S001", "The script has no code.",
        "name a file that is there and holds the module or the source";
    TooLarge, "S002", "The script is larger than a script may be.",
        "strip names and debug sections, or split the script";
    Malformed, "S003", "The file is no WebAssembly module.",
        "build a core module (not a component) in binary form";
    NoVersion, "S004", "The module does not export the function `kestrel_abi_v1`.",
        "include the header of the ABI that the module was written for";
    UnknownImport, "S005", "The module imports what is not offered.",
        "import only functions of `kestrel_v1`; there is no WASI, and no memory, table or global to import";
    ImportType, "S006", "An imported function has another type than the one offered.",
        "take the declaration from the header of the ABI";
    NotAsked, "S007", "The script uses what it did not ask for.",
        "add the capability to `capabilities` of the script";
    Start, "S008", "The module has a start function.",
        "build a library (`--no-entry`, for AssemblyScript `--exportStart`): no code runs before a rule asks";
    TooMany, "S009", "The module has more of something than a module may have.",
        "split the script, or leave out what it does not need";
    Memory, "S010", "The module's memory is missing, not exported, or larger than its budget.",
        "export one memory named `memory` and link with a smaller stack or initial memory";
    Table, "S011", "A table of the module is larger than it may be.",
        "use fewer indirect functions";
    NoFunction, "S012", "A rule asks a function that the script does not have.",
        "export the function under the name that the rule uses";
    FunctionType, "S013", "A function that a rule asks has another type than the rule needs.",
        "take one i32 (a handle) for each argument of the rule and return one i32";
    Regex, "S014", "A regular expression of the script is wrong or too large.",
        "correct it, or use fewer repetitions and alternatives";
    Glob, "S015", "A wildcard pattern of the script is too long.",
        "use a shorter pattern";
    TooManyNames, "S016", "The script declares more fields or patterns than it may.",
        "declare only what it reads";
    Invalid, "S017", "The module is not valid, or uses a proposal that is switched off.",
        "build for plain wasm32: no threads, SIMD, tail calls, exceptions or several memories";
    NotStarted, "S018", "The module could not be put in place.",
        "see that its data and its table fit where it puts them";
    Syntax, "S019", "The source is no Luau.",
        "correct the place that the message names";
    Failed, "S020", "The script failed while it was loaded.",
        "let the top of the file only define things; the limits of a call hold there too";
    Bytecode, "S021", "The file is no text.",
        "give the source: compiled Luau is never run";
    NotGranted, "S022", "The script asks for a capability that it was not granted.",
        "grant it to the pack, or leave it out of `capabilities`";
    Arguments, "S023", "A rule gives a function more arguments than can be given.",
        "give fewer; the script can read declared fields itself";
    Budget, "S024", "The budget of the script is too small for anything to run.",
        "raise the budget, or leave it out";
    Backend, "S025", "The runtime cannot run here.",
        "the message says what the system refused";
}

impl Refusal {
    /// The refusal of one script.
    pub(crate) fn of(self, detail: impl AsRef<str>) -> Denied {
        let what = self.what().trim_end_matches('.');
        Denied { reason: self, message: format!("{what}: {}", crate::text::shown(detail.as_ref())) }
    }
}

/// A refusal before it is known of which script.
#[derive(Debug, Clone)]
pub(crate) struct Denied {
    /// Why.
    pub(crate) reason: Refusal,
    /// What and where.
    pub(crate) message: String,
}

impl Denied {
    /// The refusal of the script with this number and name.
    pub(crate) fn told(self, script: u32, name: &str) -> Refused {
        let name = crate::text::shown(name);
        Refused {
            script,
            code: self.reason.code(),
            message: format!("script `{name}`: {}", self.message),
            help: self.reason.help(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_in_order() {
        for (at, one) in Refusal::ALL.iter().enumerate() {
            assert_eq!(one.code(), format!("S{:03}", at + 1));
        }
    }

    #[test]
    fn text_of_strangers_is_escaped_in_messages() {
        let told = Refusal::UnknownImport.of("a\x1b[2J").told(0, "x\ny");
        assert_eq!(
            told.message,
            r"script `x\ny`: The module imports what is not offered: a\u{1b}[2J"
        );
    }
}
