//! Scripts, events and questions for tests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::capability::{Capabilities, Capability};
use model::field::{self, FieldId};
use model::program::Program;
use model::script::{Ask, Budget, Incident, Kind, Script, Scripts};
use model::value::{Fields, Node, Value};
use script::{Backend, Refused, Runtime};

/// What a script may use in tests.
pub(crate) const BUDGET: Budget =
    Budget { work: 200_000, memory: 1 << 20, entries: 4, bytes: 1_024, alerts: 10, violations: 3 };

/// One second, ns.
pub(crate) const SECOND: i64 = 1_000_000_000;

/// An event of a few fields.
pub(crate) struct Event(pub(crate) Vec<(FieldId, Node)>);

impl Fields for Event {
    fn get(&self, wanted: FieldId) -> Value<'_> {
        let found = self.0.iter().find(|(id, _)| *id == wanted);
        found.map_or(Value::Null, |(_, node)| node.value())
    }
}

/// `/tmp/x` with some arguments; what it names beyond `process.executable` and `process.args` is there to
/// be kept from scripts.
pub(crate) fn event() -> Event {
    let text = |text: &str| Node::Str(text.as_bytes().into());
    Event(vec![
        (field::PROCESS_EXECUTABLE, text("/tmp/x")),
        (field::PROCESS_ARGS, Node::List(vec![text("x"), text("-c"), text("id")])),
        (field::PROCESS_COMMAND_LINE, text("secret")),
    ])
}

/// A script with everything granted that it asks for.
pub(crate) fn script(kind: Kind, code: &[u8], functions: &[&str]) -> Script {
    let asks = Capabilities::of(&[Capability::Alert, Capability::State, Capability::Regex]);
    let extension = if kind == Kind::Wasm { "wasm" } else { "luau" };
    Script {
        name: "one".into(),
        kind,
        file: format!("one.{extension}"),
        code: Arc::from(code),
        fields: vec![field::PROCESS_EXECUTABLE, field::PROCESS_ARGS],
        regexes: vec![("shell".into(), "/bin/(ba|da)?sh".into())],
        globs: vec![("tmp".into(), "/tmp/*".into())],
        asks,
        may: asks,
        budget: BUDGET,
        functions: functions.iter().map(|name| (*name).to_owned()).collect(),
    }
}

/// A module around some text: the marker and one page of memory, unless it says otherwise.
pub(crate) fn module(text: &str) -> Vec<u8> {
    let text = format!(
        "(module {text} (memory (export \"memory\") 1) (func (export \"kestrel_abi_v1\")))"
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// A module with a function `f` of one argument.
pub(crate) fn wasm(text: &str) -> Script {
    script(Kind::Wasm, &module(text), &["f"])
}

/// A Luau script whose function `f` has this body; the argument is `value`.
pub(crate) fn luau(body: &str) -> Script {
    let source = format!("local function f(value)\n{body}\nend\nreturn {{ f = f }}\n");
    script(Kind::Lua, source.as_bytes(), &["f"])
}

/// Scripts and what asks them.
pub(crate) struct Bench {
    pub(crate) runtime: Runtime,
    pub(crate) refused: Vec<Refused>,
    event: Event,
    /// Number and time of the next event.
    pub(crate) number: u64,
    pub(crate) time: i64,
}

impl Bench {
    /// With native code.
    pub(crate) fn new(scripts: Vec<Script>) -> Bench {
        Bench::on(scripts, Backend::Native)
    }

    pub(crate) fn on(scripts: Vec<Script>, backend: Backend) -> Bench {
        let program = Program { scripts, ..Program::default() };
        let (runtime, refused) = Runtime::load(&program, backend);
        Bench { runtime, refused, event: event(), number: 0, time: SECOND }
    }

    /// One that must load.
    pub(crate) fn sound(scripts: Vec<Script>) -> Bench {
        let bench = Bench::new(scripts);
        assert_eq!(bench.refused, []);
        bench
    }

    /// Asks the first function of a script about an event of its own.
    pub(crate) fn ask(&mut self, script: u32, args: &[Value<'_>]) -> bool {
        self.number += 1;
        self.again(script, args)
    }

    /// Asks about the same event.
    pub(crate) fn again(&mut self, script: u32, args: &[Value<'_>]) -> bool {
        self.function(script, 0, args)
    }

    pub(crate) fn function(&mut self, script: u32, function: u32, args: &[Value<'_>]) -> bool {
        let (number, time) = (self.number, self.time);
        let event = &self.event;
        self.runtime.holds(&Ask { script, function, args, event, number, time })
    }

    /// What it was told off for, and how, since this was last asked.
    pub(crate) fn causes(&mut self) -> Vec<&'static str> {
        self.runtime.incidents().iter().map(|incident| incident.cause).collect()
    }

    /// The only incident since this was last asked.
    pub(crate) fn incident(&mut self) -> Incident {
        let mut all = self.runtime.incidents();
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }
}

/// A budget of work is at most some milliseconds; this is for a slow and busy machine.
const LONG: Duration = Duration::from_secs(10);

/// Asks once, and expects a call that ended for a reason.
pub(crate) fn stopped(what: &str, script: Script, cause: &str) {
    let mut bench = Bench::sound(vec![script]);
    let start = Instant::now();
    assert!(!bench.ask(0, &path()), "{what}");
    assert!(start.elapsed() < LONG, "{what}: {:?}", start.elapsed());
    let incident = bench.incident();
    assert_eq!(incident.cause, cause, "{what}: {}", incident.detail);
    assert_eq!(bench.runtime.standing(0).violations, 1, "{what}");
}

/// The argument of most tests.
pub(crate) fn path() -> [Value<'static>; 1] {
    [Value::str("/tmp/x")]
}
