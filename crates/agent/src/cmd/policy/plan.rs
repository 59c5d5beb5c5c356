//! `aegisbpf policy plan`

use std::io::Write;
use std::time::Duration;

use policy::plan::Plan;
use serde_json::{Map, Value as Json, json};

use crate::cli::Output;
use crate::cli::policy::PlanArgs;
use crate::exit::{Exit, Failure};
use crate::policy::load::Ready;
use crate::render::table;

/// Counts what the tables need; nothing is loaded, and no privilege is needed.
pub(crate) fn run(args: &PlanArgs) -> Result<Exit, Failure> {
    let ready = Ready::look(&args.files.paths, &args.files.vouch()).map_err(super::told)?;
    let plan = ready.compiled.plan();
    let plan = plan.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    let took = (ready.reading, ready.compiling);
    let mut out = anstream::stdout().lock();
    match args.output {
        Output::Json => writeln!(out, "{:#}", document(&plan, took))?,
        Output::Text => write!(out, "{}", text(&plan, took))?,
    }
    Ok(Exit::Ok)
}

/// The same of policies that are compiled already.
pub(crate) fn planned(ready: &Ready) -> Result<Json, Failure> {
    let plan = ready.compiled.plan();
    let plan = plan.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    Ok(document(&plan, (ready.reading, ready.compiling)))
}

/// How long reading took, and compiling.
type Took = (Duration, Duration);

/// Sizes by name, what they mean beside them.
fn sizes(plan: &Plan, (reading, compiling): Took) -> Vec<(&'static str, u64, &'static str)> {
    let milliseconds = |one: Duration| u64::try_from(one.as_millis()).unwrap_or(u64::MAX);
    let size = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    vec![
        ("rules", size(plan.rules), "rules and allow lists"),
        ("subjects", size(plan.selectors), "different ones, every process included"),
        ("subjects_left", size(plan.selectors_left), "for which there is room"),
        ("labels", size(plan.labels), "classes of objects that rules tell apart"),
        ("rows", size(plan.rows), "answers for a class and an operation"),
        ("patterns", size(plan.paths.patterns), "different patterns of paths"),
        ("path_states", size(plan.paths.states), "of the automaton that reads from the root"),
        ("text_states", size(plan.paths.loose_states), "of the automaton of texts anywhere"),
        ("networks", size(plan.networks), "of both versions"),
        ("port_ranges", size(plan.ranges), "with protocols"),
        ("names", size(plan.names), "whose addresses will be learned"),
        ("symbols", size(plan.symbols), "users, groups, cgroups, units, containers to look up"),
        ("bytes", size(plan.bytes), "of all tables"),
        ("read_ms", milliseconds(reading), "to read the texts"),
        ("compile_ms", milliseconds(compiling), "to make the tables"),
    ]
}

fn document(plan: &Plan, took: Took) -> Json {
    let sizes = sizes(plan, took);
    let mut all: Map<String, Json> =
        sizes.into_iter().map(|(name, size, _)| (name.to_owned(), size.into())).collect();
    let about = plan.operations.iter().filter(|one| one.1 > 0);
    let about: Map<String, Json> =
        about.map(|one| (one.0.name().to_owned(), one.1.into())).collect();
    all.insert("operations".to_owned(), json!(about));
    Json::Object(all)
}

fn text(plan: &Plan, took: Took) -> String {
    let sizes = sizes(plan, took).into_iter();
    let rows = sizes.map(|(name, size, means)| {
        vec![name.replace('_', " "), size.to_string(), means.to_owned()]
    });
    let about = plan.operations.iter().filter(|one| one.1 > 0);
    let about = about.map(|one| vec![one.0.name().to_owned(), one.1.to_string()]);
    let cost = "Opening a file costs the same with any number of rules: its path is read once, and \
                the answer is looked up by its label.\n";
    format!(
        "{}\n{}\n{cost}",
        table::plain(&["what", "size", "means"], rows),
        table::plain(&["operation", "rules"], about),
    )
}
