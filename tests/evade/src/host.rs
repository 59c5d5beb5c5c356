//! `evade host --agent PATH`: the same cases where no LSM program loads, on the host that runs this.
//!
//! The agent itself enforces, in a cgroup and on a filesystem that go away again. What it refuses to
//! load is shown with its reason, and is not tried.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cases::{self, Case, UNRESOLVED};
use crate::hammer;
use crate::lab::{self, LAB, SCRATCH};
use crate::root;
use crate::run::{self, Outcome, Tier};

/// How long the agent may take for anything.
const PATIENCE: Duration = Duration::from_mins(1);
/// How often something is looked at.
const POLL: Duration = Duration::from_millis(20);
/// How often policies are replaced under load unless it is said: what a run of all tests has time for.
const RELOADS: u32 = 20;
const HAMMER: &str = "agent/reloads under load";

/// What is asked for.
struct Asked<'a> {
    agent: &'a str,
    only: &'a str,
    reloads: u32,
}

/// `evade host --agent PATH [--only WORD] [--reloads N]`
pub(crate) fn command(words: &[&str]) -> Result<bool> {
    let mut asked = Asked { agent: "", only: "", reloads: RELOADS };
    for pair in words.chunks(2) {
        match pair {
            ["--agent", agent] => asked.agent = agent,
            ["--only", word] => asked.only = word,
            ["--reloads", number] => asked.reloads = number.parse().context("a number")?,
            _ => bail!("unknown options {words:?}"),
        }
    }
    ensure!(!asked.agent.is_empty(), "--agent names the program");
    match std::env::var_os(SCRATCH) {
        Some(_) => inside(&asked),
        None => around(words),
    }
}

/// Does it all in a process whose root is its own, and cleans up whatever becomes of it.
fn around(words: &[&str]) -> Result<bool> {
    let cgroups = cgroup_root().context("no cgroups of version 2 are mounted")?;
    let scratch = cgroups.join(format!("evade-{}", std::process::id()));
    fs::create_dir(&scratch).with_context(|| format!("making {}", scratch.display()))?;
    let mut command = Command::new("/proc/self/exe");
    // As it is called behind the root that is exchanged.
    let inside = Path::new(root::CGROUPS).join(scratch.file_name().unwrap_or_default());
    let status = command.arg("host").args(words).env(SCRATCH, inside).status();
    remove(&scratch)?;
    let status = status.context("starting the suite")?;
    ensure!(status.signal().is_none(), "the suite ended: {status}");
    Ok(status.success())
}

fn cgroup_root() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    mounts.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let point = words.next()?;
        (words.next() == Some("cgroup2")).then(|| PathBuf::from(point))
    })
}

/// Removes a cgroup and those below it, as soon as they are empty.
fn remove(group: &Path) -> Result<()> {
    for entry in fs::read_dir(group)? {
        let path = entry?.path();
        if path.is_dir() {
            remove(&path)?;
        }
    }
    let end = Instant::now() + PATIENCE;
    while let Err(error) = fs::remove_dir(group) {
        if Instant::now() > end {
            return Err(error).with_context(|| format!("removing {}", group.display()));
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

fn inside(asked: &Asked<'_>) -> Result<bool> {
    let wanted = |case: &&Case| case.id().contains(asked.only);
    let cases: Vec<&Case> = cases::all().filter(wanted).collect();
    root::enter(Path::new(asked.agent))?;
    // What is not tried here needs nothing made for it.
    let tried: Vec<&Case> = cases.iter().copied().filter(|case| case.guest.is_none()).collect();
    lab::furnish(&tried)?;
    println!("TIER fallback");
    let mut host = Host::start(root::AGENT)?;
    let (mut denied, mut lacks, mut failed, mut absent) = (0, 0, 0, 0);
    for case in &cases {
        let id = case.id();
        if let Some(why) = case.guest {
            absent += 1;
            println!("ELSE {id}: {why}");
            continue;
        }
        if let Some(why) = host.refused.get(case.rule) {
            lacks += 1;
            println!("LACK {id}: refused when it is loaded: {why}");
            continue;
        }
        match (run::one(&mut host, case), case.beyond) {
            (Ok(Outcome::Ok(said)), _) => {
                denied += 1;
                println!("ok   {id}  {said}");
            }
            (Ok(Outcome::Skip(why)), _) => {
                absent += 1;
                println!("SKIP {id}: {why}");
            }
            (Ok(Outcome::Fail(said)), Some(why)) if said.ends_with("came to: ok") => {
                lacks += 1;
                println!("LACK {id}: {why}");
            }
            (Ok(Outcome::Fail(why)), _) => {
                failed += 1;
                println!("FAIL {id}: {why}");
            }
            (Err(error), _) => {
                failed += 1;
                println!("FAIL {id}: {error:#}");
            }
        }
    }
    if HAMMER.contains(asked.only) {
        match host.reloads(asked.reloads) {
            Ok(said) => {
                denied += 1;
                println!("ok   {HAMMER}  {said}");
            }
            Err(error) => {
                failed += 1;
                println!("FAIL {HAMMER}: {error:#}");
                eprintln!("{}", host.log());
            }
        }
    }
    host.end()?;
    println!("{denied} denied, {lacks} not by this way of enforcing");
    let verdict = if failed == 0 && denied > 0 { "ok" } else { "FAIL" };
    println!("RESULT {verdict} {} passed, {failed} failed, {absent} absent", denied + lacks);
    Ok(failed == 0 && denied > 0)
}

/// The agent that enforces.
struct Host {
    program: PathBuf,
    agent: Child,
    /// Rules that are not in force, and why.
    refused: BTreeMap<String, String>,
    /// Bytes of the log that are not about the next case.
    seen: usize,
}

fn at(name: &str) -> PathBuf {
    Path::new(LAB).join(name)
}

fn words(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|one| String::from_utf8_lossy(one));
    format!("{out}{err}")
}

/// A rule or an allow list of the policy.
struct Line {
    id: String,
    is_list: bool,
    text: String,
}

/// The policy with these.
fn text(head: &str, lines: &[Line]) -> String {
    let mut text = head.to_owned();
    for (is_list, name) in [(true, "allowOnly"), (false, "rules")] {
        let of: Vec<&Line> = lines.iter().filter(|line| line.is_list == is_list).collect();
        if !of.is_empty() {
            text.extend(["  ", name, ":\n"]);
            text.extend(of.into_iter().map(|line| line.text.as_str()));
        }
    }
    text
}

/// The policy without what is not a rule, and its rules and lists. The cgroups that it names are below that
/// of the suite.
fn rules() -> Result<(String, Vec<Line>)> {
    let policy = lab::policy()?;
    let (head, rest) = policy.split_once("  allowOnly:").context("a policy without lists")?;
    let (lists, rules) = rest.split_once("  rules:\n").context("a policy without rules")?;
    let (rules, _) = rules.split_once("---").context("a policy alone")?;
    let below = lab::cgroups();
    let name = below.file_name().context("a cgroup without a name")?.to_string_lossy();
    let head = head.replace("cgroup: /", &format!("cgroup: /{name}/"));
    let of = |text: &str, is_list| {
        let (_, rest) = text.split_once("{id: ")?;
        Some(Line { id: rest.split_once(',')?.0.to_owned(), is_list, text: format!("{text}\n") })
    };
    let rules = rules.lines().filter_map(|line| of(line, false));
    let lists = lists.lines().filter_map(|line| of(line, true));
    Ok((head, rules.chain(lists).collect()))
}

impl Host {
    /// Starts the agent and puts in force, one by one, all rules that it takes.
    fn start(program: &str) -> Result<Host> {
        let (head, lines) = rules()?;
        for directory in ["rules", "run", "state"] {
            fs::create_dir(at(directory))?;
        }
        // An agent without any rule does not start.
        fs::write(at("rules/scratch.toml"), SCRATCH_RULE)?;
        let agent = Command::new(program)
            .args([
                "run",
                "--no-alerts",
                "--no-watch",
                "--enforce",
                "--on-exit",
                "release",
                "--rules",
            ])
            .arg(at("rules"))
            .arg("--cgroup")
            .arg(lab::cgroups())
            .args(directories())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(at("log"))?)
            .spawn()
            .context("starting the agent")?;
        let (program, refused) = (PathBuf::from(program), BTreeMap::new());
        let mut host = Host { program, agent, refused, seen: 0 };
        host.until("the agent answers", |host| {
            if let Some(ended) = host.agent.try_wait()? {
                bail!("the agent ended: {ended}\n{}", host.log());
            }
            Ok(host.ask(&["status"], false)?.status.success())
        })?;
        let mut taken: Vec<Line> = Vec::new();
        for line in lines {
            let id = line.id.clone();
            taken.push(line);
            fs::write(at("policy.yaml"), text(&head, &taken))?;
            let output = host.apply()?;
            if !output.status.success() {
                taken.pop();
                let why =
                    reason(&words(&output)).with_context(|| format!("{id}: {}", host.log()))?;
                host.refused.insert(id, why);
            }
        }
        Ok(host)
    }

    /// Puts the file of the policy in force. The first time the agent tries what this kernel takes
    /// before it does anything else.
    fn apply(&mut self) -> Result<Output> {
        let path = at("policy.yaml").display().to_string();
        let mut last = None;
        self.until("the agent answers", |host| {
            let output = host.ask(&["policy", "apply", &path], true)?;
            let answers = !words(&output).contains("does not answer");
            last = Some(output);
            Ok(answers)
        })?;
        last.context("nothing was asked")
    }

    /// The same policy, another one that says the same of what is asked for, and half of one.
    fn reloads(&mut self, reloads: u32) -> Result<String> {
        let same = fs::read_to_string(at("policy.yaml"))?;
        let more = "    - {id: another, subject: covered, deny: read, files: [/nowhere/else]}\n";
        let half = same.get(..same.len() / 2).context("no half of a policy")?;
        let texts = [format!("{same}{more}"), same.clone(), half.to_owned()];
        let hammers = hammer::start()?;
        let mut refused = 0;
        for (round, text) in (0..reloads).zip(texts.iter().cycle()) {
            fs::write(at("policy.yaml"), text)?;
            let output =
                self.ask(&["policy", "apply", &at("policy.yaml").to_string_lossy()], true)?;
            let is_half = round % 3 == 2;
            ensure!(output.status.success() != is_half, "round {round}: {}", words(&output));
            refused += u32::from(is_half);
        }
        let (rounds, wrong) = hammer::finish(hammers)?;
        ensure!(wrong == 0, "{wrong} wrong verdicts in {rounds} rounds");
        ensure!(rounds > u64::from(reloads), "only {rounds} rounds in {reloads} reloads");
        Ok(format!("{reloads} reloads ({refused} broken), {rounds} rounds, 0 wrong"))
    }

    fn ask(&self, words: &[&str], state: bool) -> Result<Output> {
        let mut command = Command::new(&self.program);
        command.args(words).args(directories().into_iter().take(if state { 4 } else { 2 }));
        command.output().with_context(|| format!("starting a command: {}", self.log()))
    }

    #[expect(clippy::unused_self, reason = "it is the log of this agent")]
    fn log(&self) -> String {
        fs::read_to_string(at("log")).unwrap_or_default()
    }

    fn until(&mut self, what: &str, holds: impl FnMut(&mut Host) -> Result<bool>) -> Result<()> {
        lab::until(self, what, PATIENCE, holds)
    }

    fn end(mut self) -> Result<()> {
        kill(Pid::from_raw(i32::try_from(self.agent.id())?), Signal::SIGTERM)?;
        self.agent.wait().context("waiting for the agent").map(drop)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Err(error) = self.agent.kill().and_then(|()| self.agent.wait().map(drop)) {
            eprintln!("evade: the agent could not be ended: {error}");
        }
    }
}

const SCRATCH_RULE: &str = r#"[[rule]]
id = "scratch"
name = "Nobody"
description = "Nothing."
severity = "low"
attack = ["T1204.002"]
query = '''process where event.type == "start" and process.executable == "/nobody"'''
"#;

/// Where this agent is found, and where it keeps what it has.
fn directories() -> [String; 4] {
    let place = |name| at(name).display().to_string();
    ["--runtime-dir".to_owned(), place("run"), "--state-dir".to_owned(), place("state")]
}

/// Why a rule was refused: by its code, or since it needs LSM programs; anything else is an error.
fn reason(said: &str) -> Result<String> {
    let line = said.lines().find(|line| line.contains("E056") || line.contains("LSM programs"));
    let line = line.with_context(|| format!("refused for another reason: {said}"))?;
    Ok(line.trim().trim_start_matches("aegisbpf:").trim_start_matches("error:").trim().to_owned())
}

impl Tier for Host {
    fn forget(&mut self) -> Result<()> {
        self.seen = self.log().len();
        Ok(())
    }

    fn told(&mut self, pid: u32, rule: &str) -> Result<Result<(), String>> {
        let named = format!("rule=\"evade/{rule}\"");
        let rule = if rule == UNRESOLVED { "rule=\"none\"".to_owned() } else { named };
        let from = self.seen;
        let tells = |line: &str| {
            let found = line.split_once("pid=").map(|(_, rest)| rest);
            let number = found.and_then(|rest| rest.split(' ').next()?.parse::<u32>().ok());
            line.contains(" denied ") && line.contains(&rule) && number.is_some_and(|it| it >= pid)
        };
        let told = self.until("the log tells", |host| {
            Ok(host.log().get(from..).unwrap_or_default().lines().any(tells))
        });
        let log = self.log();
        Ok(told.map_err(|_| log.get(from..).unwrap_or_default().to_owned()))
    }
}
