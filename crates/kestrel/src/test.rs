//! `kestrel test`: runs the tests that rules bring along through the engine.

mod recorded;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::Arc;

use engine::eval::{Compiled, blame};
use engine::{Detector, Found, Limits};
use lang::{Level, RuleTest};
use model::program::{Filter, Rule};
use serde_json::json as object;

use crate::cli::{self, Form};
use crate::input::{Event, Names, Placed};
use crate::output::{self, Status, style};
use crate::predicates::{self, Answers, Outcome};
use crate::rules::{self, Rules};
use crate::scripts;

/// Time between two events of a test that do not say theirs.
const STEP_NS: i64 = 1_000_000;

/// A test that did not go as it says.
struct Failure<'r> {
    rule: &'r Rule,
    test: &'r RuleTest,
    reason: String,
}

/// A predicate that had only one value in all tests of its rule.
struct Untested<'r> {
    rule: &'r Rule,
    predicate: String,
    always: bool,
}

/// Runs all tests. Fails if a test fails or a rule has an error.
pub(crate) fn run(given: &cli::Rules, form: Form) -> io::Result<Status> {
    let rules = Rules::load(&given.paths, given.dialect.of_rules);
    let Some(compiled) = rules.compile() else { return Ok(Status::Findings) };
    let names = rules::names(&compiled);
    let mut failures = Vec::new();
    let mut seen = Seen::default();
    for test in &rules.loaded.tests {
        let Some(rule) = compiled.program().rules.get(test.rule) else { continue };
        let reason = match (&test.recording, events(test, &names)) {
            (Some(file), _) => {
                let origin = rules.loaded.origins.get(test.rule);
                let beside = origin.map_or("", |origin| origin.file.as_str());
                recorded::failure(compiled.program(), rule, test, (beside, file))
            }
            (None, Err(reason)) => Some(reason),
            (None, Ok(events)) => {
                let done = Done::of(&compiled, (test.rule, rule), &events);
                seen.add(test.rule, rule, &compiled, (&events, &done.answers));
                failure(&compiled, test, rule, (&events, &done))
            }
        };
        failures.extend(reason.map(|reason| Failure { rule, test, reason }));
    }
    let untested = seen.one_sided(&compiled);
    match form {
        Form::Text => text(&rules, &failures, &untested)?,
        Form::Json => output::json(&report(&rules, &failures, &untested))?,
    }
    let sound = failures.is_empty() && rules.count(Level::Error) == 0;
    Ok(if sound { Status::Fine } else { Status::Findings })
}

/// What is wrong with these tests of a program; nothing if all of them go as they say.
pub(crate) fn failures(compiled: &Arc<Compiled>, tests: &[RuleTest]) -> Vec<String> {
    let names = rules::names(compiled);
    let wrong = |test: &RuleTest| {
        let rule = compiled.program().rules.get(test.rule)?;
        let reason = match (&test.recording, events(test, &names)) {
            (Some(_), _) => {
                Some("a pack holds no recording: its tests have their events".to_owned())
            }
            (None, Err(reason)) => Some(reason),
            (None, Ok(events)) => {
                let done = Done::of(compiled, (test.rule, rule), &events);
                failure(compiled, test, rule, (&events, &done))
            }
        };
        Some(format!("{}: test `{}`: {}", rule.meta.id, test.name, reason?))
    };
    tests.iter().filter_map(wrong).collect()
}

/// The events of a test.
fn events(test: &RuleTest, names: &Arc<Names>) -> Result<Vec<Event>, String> {
    test.events
        .iter()
        .map(|given| {
            let mut event = Event::new(Arc::clone(names));
            let text = serde_json::to_vec(given).map_err(|error| error.to_string())?;
            event.read(&text).map_err(|bad| format!("the event cannot be read: {bad}"))?;
            Ok(event)
        })
        .collect()
}

/// What went wrong, if anything did.
fn failure(
    compiled: &Arc<Compiled>,
    test: &RuleTest,
    rule: &Rule,
    (events, done): (&[Event], &Done),
) -> Option<String> {
    let alert = done.alert;
    let expectation = match (test.alert, alert) {
        (true, false) => "expected an alert, got none",
        (false, true) => "expected no alert, got one",
        _ => return None,
    };
    let program = compiled.program();
    let mut decided = Vec::new();
    let events_of = events.iter().zip(&done.answers);
    for (event, answers, filter) in
        events_of.flat_map(|(event, answers)| rule.filters().map(move |one| (event, answers, one)))
    {
        if events.len() > 1 && predicates::holds(filter, rule, event, answers) == Some(!alert) {
            continue;
        }
        let condition = answers.within(&filter.condition);
        let filter = Filter { category: filter.category.clone(), condition };
        for blame in blame(&filter, rule.logic, event) {
            let (name, value) = predicates::held(blame.field, program, event);
            let held = if value.is_null() {
                format!("`{name}` is absent")
            } else {
                format!("`{name}` = {value}")
            };
            if !decided.contains(&held) {
                decided.push(held);
            }
        }
    }
    let mut told = String::new();
    for one in &done.incidents {
        told.push_str("; ");
        told.push_str(one);
    }
    Some(format!("{expectation}; decided by: {}{told}", decided.join(", ")))
}

/// How a test went.
struct Done {
    alert: bool,
    /// What scripts answered about each event.
    answers: Vec<Answers>,
    /// What they did that they may not.
    incidents: Vec<String>,
}

impl Done {
    /// Gives the events in order to an engine that has seen nothing else.
    fn of(compiled: &Arc<Compiled>, (number, rule): (usize, &Rule), events: &[Event]) -> Done {
        let program = compiled.program();
        let scripts = scripts::start_for(program, rule);
        let mut detector = Detector::with_scripts(Arc::clone(compiled), Limits::default(), scripts);
        let mut answers = Vec::new();
        let mut found = raised(&mut detector, events, &mut |detector| {
            answers.push(Answers::of(detector, rule, program));
        });
        found.retain(|found| usize::try_from(found.rule) == Ok(number));
        let incidents = detector.scripts().incidents();
        let incidents = incidents.iter().map(|one| scripts::told(one, program)).collect();
        Done { alert: !found.is_empty(), answers, incidents }
    }
}

/// What is found in events, given in order.
fn raised(
    detector: &mut Detector,
    events: &[Event],
    each: &mut dyn FnMut(&Detector),
) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    let mut time = 0;
    for (number, event) in (1..).zip(events) {
        time = event.time().unwrap_or(time + STEP_NS);
        let placed = Placed { event: event.view(), position: number, time, ordinal: number };
        detector.push(&placed, &mut found);
        each(detector);
    }
    detector.finish(&mut found);
    found
}

/// Values that predicates had in tests: rule, number of the filter and of the predicate in it.
#[derive(Default)]
struct Seen(BTreeMap<(usize, usize, usize), (String, bool, bool)>);

impl Seen {
    fn add(
        &mut self,
        number: usize,
        rule: &Rule,
        compiled: &Compiled,
        (events, answers): (&[Event], &[Answers]),
    ) {
        for (at, filter) in rule.filters().enumerate() {
            let both = events.iter().zip(answers);
            for (event, answers) in
                both.filter(|(event, _)| predicates::has_category(filter, *event))
            {
                let program = compiled.program();
                let outcomes = predicates::outcomes(filter, rule, program, event, answers);
                for (leaf, Outcome { text, value, asked, .. }) in outcomes.into_iter().enumerate() {
                    if !asked {
                        continue;
                    }
                    let seen = self.0.entry((number, at, leaf)).or_insert((text, false, false));
                    seen.1 |= value == Some(true);
                    seen.2 |= value != Some(true);
                }
            }
        }
    }

    fn one_sided(self, compiled: &Compiled) -> Vec<Untested<'_>> {
        let one_sided = self.0.into_iter().filter(|(_, (_, yes, no))| yes != no);
        one_sided
            .filter_map(|((rule, _, _), (predicate, always, _))| {
                let rule = compiled.program().rules.get(rule)?;
                Some(Untested { rule, predicate, always })
            })
            .collect()
    }
}

fn text(rules: &Rules, failures: &[Failure<'_>], untested: &[Untested<'_>]) -> io::Result<()> {
    rules.show()?;
    let mut out = anstream::stdout().lock();
    let (bad, good) = (style::BAD, style::GOOD);
    for Failure { rule, test, reason } in failures {
        writeln!(out, "{bad}FAIL{bad:#} {}: {}: {}", rule.meta.file, rule.meta.id, test.name)?;
        writeln!(out, "     {reason}")?;
    }
    for Untested { rule, predicate, always } in untested {
        let (file, id) = (&rule.meta.file, &rule.meta.id);
        writeln!(out, "note {file}: {id}: in every test {always}: {predicate}")?;
    }
    let (total, failed) = (rules.loaded.tests.len(), failures.len());
    let verdict =
        if failed == 0 { format!("{good}ok{good:#}") } else { format!("{bad}FAILED{bad:#}") };
    let untested = without_tests(rules).len();
    let beside =
        if untested == 0 { String::new() } else { format!(" ({untested} without a test)") };
    writeln!(
        out,
        "{verdict}: {} rules{beside}, {total} tests: {} passed, {failed} failed; {} errors, {} \
         warnings",
        rules.loaded.program.rules.len(),
        total - failed,
        rules.count(Level::Error),
        rules.count(Level::Warning),
    )
}

/// Ids of rules that bring no test along.
fn without_tests(rules: &Rules) -> Vec<&str> {
    let tested: BTreeSet<usize> = rules.loaded.tests.iter().map(|test| test.rule).collect();
    let all = rules.loaded.program.rules.iter().enumerate();
    all.filter(|(at, _)| !tested.contains(at)).map(|(_, rule)| rule.meta.id.as_str()).collect()
}

fn report(rules: &Rules, failures: &[Failure<'_>], untested: &[Untested<'_>]) -> serde_json::Value {
    let failed: Vec<_> = failures
        .iter()
        .map(|Failure { rule, test, reason }| {
            object!({
                "file": rule.meta.file,
                "rule": rule.meta.id,
                "test": test.name,
                "expected_alert": test.alert,
                "reason": reason,
            })
        })
        .collect();
    let one_sided: Vec<_> = untested
        .iter()
        .map(|Untested { rule, predicate, always }| {
            let (file, id) = (&rule.meta.file, &rule.meta.id);
            object!({ "file": file, "rule": id, "predicate": predicate, "always": always })
        })
        .collect();
    object!({
        "rules": rules.loaded.program.rules.len(),
        "tests": rules.loaded.tests.len(),
        "without_tests": without_tests(rules),
        "failed": failed,
        "one_sided": one_sided,
        "unread": rules.unread,
        "diagnostics": rules.json(),
    })
}
