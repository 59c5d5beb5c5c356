//! `bench-peer RULES EVENTS N`: the time that the rsigma engine takes for Sigma rules over the
//! first N events, in the names of Sigma, decoded before the clock starts. Prints one JSON object.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::{Duration, Instant};

use rsigma_eval::{Engine, JsonEvent};
use rsigma_parser::{LogSource, parse_sigma_directory};
use serde_json::{Map, Value, json};

/// Categories of rules that both engines run.
const CATEGORIES: &[&str] = &["process_creation", "file_event", "network_connection"];
/// Events decoded before they are measured: few enough to be at hand then.
const BLOCK: usize = 128;
/// Sigma's name, and where ECS has it.
const FIELDS: &[(&str, &str)] = &[
    ("Image", "/process/executable"),
    ("CommandLine", "/process/command_line"),
    ("ParentImage", "/process/parent/executable"),
    ("ParentCommandLine", "/process/parent/command_line"),
    ("CurrentDirectory", "/process/working_directory"),
    ("User", "/user/name"),
    ("LogonId", "/process/Ext/login_user/id"),
    ("TargetFilename", "/file/path"),
    ("DestinationIp", "/destination/ip"),
    ("DestinationPort", "/destination/port"),
];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [rules, events, count] = arguments.as_slice() else {
        return Err("usage: bench-peer RULES EVENTS N".into());
    };
    let mut engine = Engine::new();
    for category in CATEGORIES {
        engine.add_collection(&parse_sigma_directory(&Path::new(rules).join(category))?)?;
    }
    let (mut seen, mut alerts, mut spent) = (0_usize, 0_usize, Duration::ZERO);
    let mut lines = BufReader::new(File::open(events)?).lines();
    let limit: usize = count.parse()?;
    while seen < limit {
        let mut block = Vec::with_capacity(BLOCK);
        for line in lines.by_ref().take(BLOCK.min(limit - seen)) {
            block.push(event(&serde_json::from_str(&line?)?));
        }
        if block.is_empty() {
            break;
        }
        seen += block.len();
        let start = Instant::now();
        for (source, value) in &block {
            let Some(source) = source else { continue };
            let event = JsonEvent::borrow(value);
            alerts += engine.evaluate_with_logsource(&event, source).len();
        }
        spent += start.elapsed();
    }
    let ns = spent.as_nanos() / u128::try_from(seen.max(1))?;
    println!("{}", json!({ "rules": engine.rule_count(), "events": seen, "alerts": alerts, "ns": ns }));
    Ok(())
}

/// An ECS event in the names of Sigma, and the log source that it belongs to.
fn event(ecs: &Value) -> (Option<LogSource>, Value) {
    let fields = FIELDS.iter().filter_map(|(name, path)| {
        ecs.pointer(path).map(|value| ((*name).to_owned(), value.clone()))
    });
    let fields: Map<String, Value> = fields.collect();
    let has = |path: &str, word: &str| {
        ecs.pointer(path).and_then(Value::as_array).is_some_and(|all| all.contains(&word.into()))
    };
    let category = if has("/event/category", "process") && has("/event/type", "start") {
        Some("process_creation")
    } else if has("/event/category", "file") && has("/event/type", "creation") {
        Some("file_event")
    } else if has("/event/category", "network") {
        Some("network_connection")
    } else {
        None
    };
    let source = category.map(|category| LogSource {
        category: Some(category.to_owned()),
        product: Some("linux".to_owned()),
        service: None,
        definition: None,
        custom: HashMap::new(),
    });
    (source, Value::Object(fields))
}
