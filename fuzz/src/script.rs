//! Scripts of strangers: any bytes as a module, as the body of a function of one, and as Luau, loaded and
//! asked within a small budget.

use std::fmt::Write;
use std::sync::{Arc, LazyLock};

use model::capability::{Capabilities, Capability};
use model::field::{self, FieldId};
use model::program::Program;
use model::script::{Ask, Budget, Kind, Script, Scripts};
use model::value::{Fields, List, Value};
use script::abi::{IMPORTS, MARKER, MODULE};
use script::{Backend, Runtime, author};

/// What it may use: enough to reach all that a script can do, and soon over.
const BUDGET: Budget =
    Budget { work: 20_000, memory: 1 << 20, entries: 8, bytes: 1_024, alerts: 4, violations: 2 };
/// Questions: the last one finds a script in quarantine that broke its terms before.
const QUESTIONS: u64 = 3;
/// What a module ends with whose two functions are empty and the constant 1: section, size, count, and
/// size, locals, instructions and end of each.
const CODE: &[u8] = &[10, 9, 2, 2, 0, 0x0b, 4, 0, 0x41, 1, 0x0b];

/// What comes before the code of a module with two functions, the second of which rules ask, and which
/// imports everything.
static HEAD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut text = "(module".to_owned();
    for import in IMPORTS {
        let params: Vec<&str> = import.params.iter().map(|(_, kind)| kind.as_str()).collect();
        let (name, params, result) = (import.name, params.join(" "), import.result.as_str());
        // Writing to a text does not fail.
        _ = write!(
            text,
            "(import \"{MODULE}\" \"{name}\" (func (param {params}) (result {result})))"
        );
    }
    _ = write!(
        text,
        "(memory (export \"memory\") 1) (func (export \"{MARKER}\"))
         (func (export \"f\") (param i32) (result i32) (i32.const 1)))"
    );
    let module = author::assemble(&text).unwrap_or_default();
    module.strip_suffix(CODE).unwrap_or_default().to_vec()
});

/// Any bytes as a script.
pub(crate) fn script(data: &[u8]) {
    run(Kind::Wasm, data);
    run(Kind::Lua, data);
    // The fuzzer writes the body of a function; what is around it is given.
    if let Some(module) = module(data) {
        run(Kind::Wasm, &module);
    }
    let body = [b"local function f(value) ".as_slice(), data, b"\nend return { f = f }"].concat();
    run(Kind::Lua, &body);
}

/// A module whose function has these instructions.
fn module(body: &[u8]) -> Option<Vec<u8>> {
    // No locals before them, and the end behind them.
    let function = [[0].as_slice(), body, &[0x0b]].concat();
    let size = number(function.len())?;
    let functions = [[2, 2, 0, 0x0b].as_slice(), &size, function.as_slice()].concat();
    let size = number(functions.len())?;
    Some([HEAD.as_slice(), &[10], &size, functions.as_slice()].concat())
}

/// A length as modules write it: seven bits a byte, here always five of them.
fn number(length: usize) -> Option<[u8; 5]> {
    let length = u32::try_from(length).ok()?;
    let part = |at: u32| u8::try_from(length >> (7 * at) & 0x7f).unwrap_or(0x7f);
    Some([part(0) | 0x80, part(1) | 0x80, part(2) | 0x80, part(3) | 0x80, part(4)])
}

/// `/tmp/x -c id`.
struct Event;

impl Fields for Event {
    fn get(&self, wanted: FieldId) -> Value<'_> {
        match wanted {
            field::PROCESS_EXECUTABLE => Value::str("/tmp/x"),
            field::PROCESS_ARGS => Value::List(List::Nul(b"x\0-c\0id")),
            _ => Value::Null,
        }
    }
}

/// Loads a script and asks it; whether it ever said yes.
fn run(kind: Kind, code: &[u8]) -> bool {
    let all = Capabilities::of(&[Capability::Alert, Capability::State, Capability::Regex]);
    let script = Script {
        code: Arc::from(code),
        fields: vec![field::PROCESS_EXECUTABLE, field::PROCESS_ARGS],
        regexes: vec![("shell".to_owned(), "/bin/(ba|da)?sh".to_owned())],
        globs: vec![("tmp".to_owned(), "/tmp/*".to_owned())],
        asks: all,
        may: all,
        budget: BUDGET,
        functions: vec!["f".to_owned()],
        ..Script::new("fuzz", kind, "fuzz")
    };
    let program = Program { scripts: vec![script], ..Program::default() };
    // The interpreter needs no signals, which are the fuzzer's.
    let (mut runtime, refused) = Runtime::load(&program, Backend::Pulley);
    for one in &refused {
        assert!(one.code.starts_with('S') && !one.message.is_empty(), "{one:?}");
    }
    let (args, mut yes) = ([Value::str("/tmp/x")], false);
    for number in 1..=QUESTIONS {
        let before = runtime.standing(0).work;
        let ask = Ask { script: 0, function: 0, args: &args, event: &Event, number, time: 0 };
        let answer = runtime.holds(&ask);
        assert!(!answer || refused.is_empty(), "it was refused and says yes");
        yes |= answer;
        let told = runtime.incidents();
        for incident in &told {
            assert!(!incident.detail.chars().any(char::is_control), "{incident:?}");
        }
        let standing = runtime.standing(0);
        let spent = standing.work - before;
        // What the host does for a script is spent when it is done.
        assert!(spent <= BUDGET.work || !told.is_empty(), "{spent} units, and nobody is told");
        assert!(standing.entries <= BUDGET.entries && standing.bytes <= BUDGET.bytes);
    }
    yes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_around_a_body_is_sound_and_reaches_the_host() {
        let says = |body: &[u8]| run(Kind::Wasm, &module(body).unwrap());
        assert!(says(&[0x41, 1]), "the constant 1");
        assert!(!says(&[0x41, 0]));
        assert!(!says(&[0x03, 0x40, 0x0c, 0, 0x0b, 0x41, 1]), "a loop without an end");
        let glob = IMPORTS.iter().position(|import| import.name == "glob").unwrap();
        let glob = u8::try_from(glob).unwrap();
        assert!(says(&[0x41, 0, 0x20, 0, 0x10, glob]), "its pattern matches the argument");
        let luau = |text: &str| run(Kind::Lua, text.as_bytes());
        assert!(luau("return { f = function(value) return glob.tmp(value) end }"));
        assert!(!luau("return { f = function() while true do end end }"));
    }
}
