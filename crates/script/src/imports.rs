//! What a module asks of its host, for whoever reviews it: nothing is compiled for that.

use model::script::{Kind, Script};
use wasmparser::{Imports, Parser, Payload};

use crate::limits;

/// Names of what a Wasm module imports, as `module.name`, in the order of the module; at most as many
/// as a module may have. A module that cannot be read has none, and is refused when it is loaded; a
/// Luau source imports nothing.
pub fn imports(script: &Script) -> Vec<String> {
    let mut all = Vec::new();
    if script.kind != Kind::Wasm || script.code.len() > limits::MAX_MODULE_BYTES {
        return all;
    }
    for payload in Parser::new(0).parse_all(&script.code) {
        let Ok(payload) = payload else { break };
        let Payload::ImportSection(reader) = payload else { continue };
        for one in reader.into_iter().take(limits::MAX_IMPORTS as usize) {
            let Ok(Imports::Single(_, import)) = one else { return all };
            let name = format!("{}.{}", import.module, import.name);
            all.push(crate::text::shown(&name));
        }
    }
    all
}
