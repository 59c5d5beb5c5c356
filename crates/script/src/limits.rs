//! Limits of every script, whatever its budget: named, with their reasons, in one table.

macro_rules! limits {
    ($($(#[doc = $more:literal])* $name:ident: $type:ty = $value:expr, $what:literal, $why:literal;)*) => {
        $(#[doc = $what] pub const $name: $type = $value;)*

        /// All of them for the documentation: name, value, what is limited, why at this value.
        pub const ALL: &[(&str, u64, &str, &str)] =
            &[$((stringify!($name), $name as u64, $what, $why)),*];
    };
}

limits! {
    MAX_MODULE_BYTES: usize = 1 << 20, "Bytes of a Wasm module.",
        "rules are small; a module that brings a language's runtime along still fits";
    MAX_SOURCE_BYTES: usize = 256 << 10, "Bytes of a Luau source.", "some thousand lines";
    MAX_TYPES: u32 = 1_000, "Function types of a module.", "compilers share types";
    MAX_IMPORTS: u32 = 64, "Imports of a module.", "more than the host offers";
    MAX_FUNCTIONS: u32 = 5_000, "Functions of a module.",
        "a runtime of a language has some hundred; each costs time to compile";
    MAX_BODY_BYTES: usize = 64 << 10, "Bytes of one function.",
        "the time to compile a function grows faster than its size";
    MAX_TABLES: u32 = 1, "Tables of a module.", "compilers make one";
    MAX_TABLE_ENTRIES: u64 = 10_000, "Entries of a table, also after it grew.",
        "twice the functions that there can be";
    MAX_GLOBALS: u32 = 1_000, "Globals of a module.", "compilers make a handful";
    MAX_EXPORTS: u32 = 1_000, "Exports of a module.", "one for each function that a rule asks";
    MAX_SEGMENTS: u32 = 1_000, "Data or element segments of a module.", "compilers make a handful";
    MAX_CUSTOM: u32 = 64, "Custom sections of a module.", "names, producers, features";
    MAX_LOCALS: u32 = 2_000, "Locals of one function.",
        "50,000, as the standard allows, make one small body expensive to compile";
    WASM_STACK_BYTES: usize = 128 << 10, "Bytes of stack of a Wasm call.",
        "thousands of frames, and far below what a thread has";
    MAX_ARGUMENTS: usize = 8, "Arguments of a function.", "a script can read declared fields itself";
    MAX_FIELDS: usize = 64, "Fields that a script may declare.", "a rule reads a handful";
    MAX_PATTERNS: usize = 64, "Regular expressions, and as many wildcard patterns.",
        "each is compiled at load";
    MAX_REGEX_BYTES: usize = 64 << 10, "Bytes of a compiled regular expression.",
        "the worst time of a match is the product of this and of the text";
    MAX_REGEX_TEXT: usize = 4_096, "Bytes of a regular expression or wildcard pattern.",
        "a pattern that people can still read";
    MAX_HANDLES: usize = 4_096, "Elements of lists that one call may hold.", "the arguments of a process";
    MAX_SHOWN_BYTES: usize = 64 << 10,
        "Bytes of text that a Luau script sees of one argument or field.",
        "what it is given counts as its memory; a Wasm script reads all of it, piece by piece";
    MAX_SHOWN_VALUES: usize = 1_024, "Elements of a list that a Luau script sees.", "the same";
    MAX_DEPTH: usize = 4, "Levels of a nested value that a Luau script sees.", "the same";
    MAX_EMITS: usize = 4, "Alert texts of one event.", "an event is one thing that happened";
    MAX_MESSAGE_BYTES: usize = 1_024, "Bytes of an alert text, of a text in it, or of a name in it; more is cut off.",
        "people read it";
    MAX_EMIT_FIELDS: usize = 16, "Fields of one alert text.", "the same";
    MAX_REQUESTS: usize = 8, "Requests of one event.", "there are fewer actions";
    MAX_REFUSED: u32 = 60, "Refused requests in a minute of event time; more is a flood.",
        "a rule that nobody granted anything is no fault, a storm is";
    MAX_KEY_BYTES: usize = 256, "Bytes of a key of the state.", "a path's directory, or a hash";
    MAX_VALUE_BYTES: usize = 4_096, "Bytes of a value of the state.", "a path";
    MAX_TTL_MS: i64 = 7 * 24 * 3_600 * 1_000, "Milliseconds that an entry of the state lives.",
        "state is for windows of time, not for archives";
    MAX_INCIDENTS: usize = 1_024, "Incidents that wait to be taken; more are only counted.",
        "they are taken after each event";
    MAX_DETAIL_BYTES: usize = 300, "Bytes of the detail of an incident or refusal.", "people read it";
    TICK_MS: u64 = 10, "Milliseconds between two ticks of the clock behind the deadline.",
        "short against the deadline";
    DEADLINE_TICKS: u64 = 100, "Ticks that a call may take.",
        "a second: far above what the budget of work allows, also on a busy machine";
    MAX_PATTERN_BYTES: usize = 256, "Bytes of a pattern, separator or searched text in Luau's `string` functions.",
        "their worst time is the product of this and of the text";
    MAX_COMPILE_THREADS: usize = 4, "Threads that compile at the same time.",
        "loading must not take the whole host";
}
