//! How long patterns of paths take to compile, and how large their tables are.
#![expect(clippy::print_stdout, reason = "a table for who runs it")]

use model::policy::{
    Errno, Mode, Object, Operation, Operations, Place, Policy, Rule, Subject, Verdict,
};
use model::program::Severity;
use policy::{Options, Tables, compile};

fn rule(number: usize, patterns: Vec<String>) -> Rule {
    Rule {
        id: format!("rule-{number}"),
        subject: Subject {
            executables: vec![format!("/usr/bin/program-{}", number % 40)],
            ..Subject::default()
        },
        operations: Operations::default().with(Operation::Read).with(Operation::Write),
        objects: patterns.into_iter().map(Object::Path).collect(),
        verdict: Verdict::Deny(Errno::Perm),
        severity: Severity::High,
        message: None,
        exception: None,
        after: None,
        place: Place::default(),
    }
}

/// Words that share beginnings, as names of a real tree do.
fn word(seed: usize) -> String {
    const PARTS: [&str; 12] =
        ["app", "srv", "data", "log", "cache", "conf", "lib", "node", "user", "tmp", "key", "web"];
    let part = |at: usize| PARTS.get(at % PARTS.len()).copied().unwrap_or_default();
    format!("{}{}{}", part(seed), part(seed / 7), seed % 997)
}

fn path(seed: usize) -> String {
    let mixed = seed.wrapping_mul(2_654_435_761) >> 7;
    let top = ["srv", "var/lib", "home", "opt"].get(seed % 4).copied().unwrap_or_default();
    format!("/{top}/{}/{}/{}", word(mixed), word(mixed / 13), word(seed))
}

fn one(seed: usize, kind: usize) -> String {
    match kind {
        0 => path(seed),
        1 => format!("{}/**", path(seed)),
        2 => {
            let path = path(seed);
            let (head, tail) = path.rsplit_once('/').unwrap_or_default();
            format!("{head}/*/{tail}-{seed}.conf")
        }
        3 => format!("{}/*.conf", path(seed)),
        4 => format!("**/*.ext{seed}"),
        _ => format!("**/*{}{seed}*/**", word(seed)),
    }
}

/// Seconds that this thread has run: machines that also do other work measure the same.
fn on_cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = stat.split(' ').next().and_then(|field| field.parse::<f64>().ok());
    nanoseconds.unwrap_or_default() / 1e9
}

fn measure(name: &str, patterns: &[String], each: usize) {
    // With an argument, only what has it in its name.
    if std::env::args().nth(1).is_some_and(|wanted| !name.contains(&wanted)) {
        return;
    }
    let mut policy = Policy { name: name.to_owned(), ..Policy::default() };
    for (number, chunk) in patterns.chunks(each).enumerate() {
        policy.rules.push(rule(number, chunk.to_vec()));
    }
    let options = Options { generation: 1, mode: Mode::Enforce, now: 0 };
    let policies = [policy];
    let mut best = f64::MAX;
    let mut result = None;
    for _ in 0..3 {
        let begin = on_cpu();
        let compiled = compile(&policies, &options);
        best = best.min(on_cpu() - begin);
        result = Some(compiled);
    }
    match result {
        Some(Ok(compiled)) => {
            let sizes = compiled.sizes;
            let paths = &compiled.tables.paths;
            let begin = on_cpu();
            let bytes = compiled.tables.encode().unwrap_or_default();
            let encoded = on_cpu();
            let read = Tables::parse(&bytes).is_ok_and(|read| read == compiled.tables);
            let (encode, parse) = (encoded - begin, on_cpu() - encoded);
            println!(
                "{name:44} {:6} rules {:7} -> {:7} states {:8} KB, texts {:5} states {:5} KB, \
                 {:6} labels {:6} rows  {best:.3} s; \
                 {:6} KB written in {encode:.3} s, read in {parse:.3} s: {read}",
                compiled.rules.len(),
                sizes.states_before,
                sizes.states,
                paths.anchored.bytes() / 1024,
                sizes.loose_states,
                paths.loose.bytes() / 1024,
                compiled.meanings.len(),
                compiled.tables.verdicts.rows.len(),
                bytes.len() / 1024,
            );
        }
        Some(Err(error)) => println!("{name:44} {} {error}  {best:.3} s", error.code()),
        None => {}
    }
}

fn main() {
    let many = |count: usize, kinds: &[usize]| -> Vec<String> {
        let kind = |seed: usize| kinds.get(seed % kinds.len()).copied().unwrap_or_default();
        (0..count).map(|seed| one(seed, kind(seed))).collect()
    };
    measure("10", &many(10, &[0, 1, 2, 4]), 1);
    let mut mixed = many(978, &[0, 1, 2, 3]);
    mixed.extend(many(21, &[4]));
    measure("999 mixed, 21 suffixes", &mixed, 1);
    measure("10,000 exact or below", &many(10_000, &[0, 1]), 1);
    measure("10,000 exact or below, 100 a rule", &many(10_000, &[0, 1]), 100);
    measure("10,000 with `*` in one level", &many(10_000, &[2]), 1);
    measure("10,000 with `*` in one level, 100 a rule", &many(10_000, &[2]), 100);
    let stars = |seed: usize| format!("/srv/*/{}-{seed}*/x{}.conf", word(seed), seed % 17);
    measure("10,000 `/srv/*/name*/x.conf`", &(0..10_000).map(stars).collect::<Vec<_>>(), 1);
    let mut mixed = many(9_798, &[0, 1, 2, 3]);
    mixed.extend(many(201, &[4]));
    measure("9,999 mixed, 201 suffixes", &mixed, 1);
    measure("201 suffixes", &many(201, &[4]), 1);
    measure("300 contains, 10 a rule", &many(300, &[5]), 10);
    measure("300 contains, 1 a rule", &many(300, &[5]), 1);
    let deep = |seed: usize| format!("/srv/**/{}/**/x", word(seed));
    measure("30 `/srv/**/name/**/x`", &(0..30).map(deep).collect::<Vec<_>>(), 1);
}
