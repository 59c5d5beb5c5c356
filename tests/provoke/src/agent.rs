//! The agent under test: its doctor, the agent itself and a client that asks for everything.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use model::op::Kind;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::event::Stream;

/// How long the agent may take from its start until a client can connect (emulated guests are slow).
const START: Duration = Duration::from_mins(3);
/// How long it may take to end after SIGTERM.
const STOP: Duration = Duration::from_secs(10);

/// What `doctor` says about one operation.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    /// `enforced`, `observed` or `absent`.
    pub(crate) state: String,
    /// Where its events come from.
    pub(crate) provider: String,
    /// The hook, or the hooks, by the kernel's names.
    pub(crate) hook: String,
    /// What is lost, and why it is absent.
    pub(crate) note: String,
    /// What the operator can do for a better way.
    pub(crate) improve: String,
}

impl Operation {
    /// Whether events are promised.
    pub(crate) fn seen(&self) -> bool {
        self.state != "absent"
    }
}

/// The whole of `doctor`.
#[derive(Debug, Clone)]
pub(crate) struct Doctor {
    /// `lsm`, `fallback` or `observe`.
    pub(crate) tier: String,
    /// Every operation.
    pub(crate) operations: BTreeMap<Kind, Operation>,
}

impl Doctor {
    /// Asks the agent.
    pub(crate) fn ask(agent: &Path) -> Result<Doctor> {
        let output = Command::new(agent).args(["doctor", "-o", "json"]).output();
        let output = output.with_context(|| format!("starting {}", agent.display()))?;
        let report: Value = serde_json::from_slice(&output.stdout).with_context(|| {
            format!("doctor -o json: {}", String::from_utf8_lossy(&output.stderr))
        })?;
        Doctor::parse(&report)
    }

    fn parse(report: &Value) -> Result<Doctor> {
        let text = |value: &Value, key: &str| {
            value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let rows = report.get("operations").and_then(Value::as_array).context("no operations")?;
        let mut operations = BTreeMap::new();
        for row in rows {
            let name = text(row, "operation");
            let kind = Kind::ALL.iter().copied().find(|kind| kind.name() == name);
            let kind = kind.with_context(|| format!("doctor names an unknown operation: {row}"))?;
            let state = text(row, "state");
            if !["enforced", "observed", "absent"].contains(&state.as_str()) {
                bail!("doctor gives {name} an unknown state: {row}");
            }
            let (provider, note) = (text(row, "provider"), text(row, "note"));
            let hook = text(row, "hook");
            let improve = text(row, "improve");
            operations.insert(kind, Operation { state, provider, hook, note, improve });
        }
        Ok(Doctor { tier: text(report, "tier"), operations })
    }
}

/// A running agent and its client; both end when this is dropped.
#[derive(Debug)]
pub(crate) struct Agent {
    program: PathBuf,
    runtime: PathBuf,
    processes: Vec<Child>,
    /// Events that the client receives.
    pub(crate) events: Stream,
    /// Alerts that the agent prints.
    pub(crate) alerts: Stream,
}

impl Agent {
    /// Starts the agent with those rules and a client that asks for all `kinds` of what `exe` and
    /// its children do. The agent selects: a busy host has many other events, and those that a
    /// client is too slow to read are dropped.
    pub(crate) fn start(
        agent: &Path,
        runtime: &Path,
        rules: &Path,
        (kinds, exe): (&str, &str),
    ) -> Result<Agent> {
        let mut started = Agent::watch(agent, runtime, rules)?;
        let mut client = Command::new(agent)
            .args(["events", "--follow", "-o", "json", "--kinds", kinds, "--runtime-dir"])
            .arg(runtime)
            .arg("--where")
            .arg(format!(
                r#"process.executable == "{exe}" or process.parent.executable == "{exe}""#
            ))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the client")?;
        started.events = Stream::read(client.stdout.take().context("the client has no stdout")?);
        started.processes.push(client);
        Ok(started)
    }

    /// Starts the agent alone, and waits until it answers.
    pub(crate) fn watch(agent: &Path, runtime: &Path, rules: &Path) -> Result<Agent> {
        let mut run = Command::new(agent)
            .args(["run", "-o", "json", "--runtime-dir"])
            .arg(runtime)
            // What other agents left on this host is none of its business.
            .arg("--state-dir")
            .arg(runtime.with_extension("state"))
            .args(["--history", "off", "--rules"])
            .arg(rules)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {} run", agent.display()))?;
        let alerts = Stream::read(run.stdout.take().context("the agent has no stdout")?);
        let mut started = Agent {
            program: agent.to_owned(),
            runtime: runtime.to_owned(),
            processes: vec![run],
            events: Stream::default(),
            alerts,
        };
        started.wait_ready(agent, runtime)?;
        Ok(started)
    }

    /// Waits until `status` answers.
    fn wait_ready(&mut self, agent: &Path, runtime: &Path) -> Result<()> {
        let deadline = Instant::now() + START;
        loop {
            if let Some(run) = self.processes.first_mut()
                && let Some(status) = run.try_wait().context("waiting for the agent")?
            {
                bail!("the agent ended while starting: {status}");
            }
            let mut status = Command::new(agent);
            status.arg("status").arg("--runtime-dir").arg(runtime);
            status.stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null());
            if status.status().is_ok_and(|status| status.success()) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("the agent answered no `status` within {START:?}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Pid of the agent's guard, for cases about the agent itself.
    pub(crate) fn pid(&self) -> Result<u32> {
        self.processes.first().map(Child::id).context("no agent runs")
    }

    /// What the agent says it sent and lost.
    pub(crate) fn status(&self) -> Result<Value> {
        let mut command = Command::new(&self.program);
        command.args(["status", "-o", "json", "--runtime-dir"]).arg(&self.runtime);
        let output = command.output().context("asking for the status")?;
        serde_json::from_slice(&output.stdout).context("status -o json")
    }

    /// Whether the agent and its client still run.
    pub(crate) fn alive(&mut self) -> bool {
        self.processes.iter_mut().all(|child| matches!(child.try_wait(), Ok(None)))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // The client first: it would report that the agent went away.
        for child in self.processes.iter_mut().rev() {
            let Ok(pid) = i32::try_from(child.id()) else { continue };
            let deadline = Instant::now() + STOP;
            let mut ended = kill(Pid::from_raw(pid), Signal::SIGTERM).is_err();
            while !ended && Instant::now() < deadline {
                ended = !matches!(child.try_wait(), Ok(None));
                std::thread::sleep(Duration::from_millis(20));
            }
            if !ended && child.kill().and_then(|()| child.wait()).is_err() {
                eprintln!("provoke: process {pid} cannot be ended");
            }
        }
    }
}

/// Writes the rules that make the sensors watch the scratch files and read one variable.
pub(crate) fn write_rules(directory: &Path, scratch: &Path) -> Result<PathBuf> {
    let rules = directory.join("rules");
    fs::create_dir_all(&rules).context("creating the rules directory")?;
    let watched = scratch.join("watched");
    let (open, write) = (watched.join("open"), watched.join("write"));
    let below = scratch.join("tree");
    let texts = [
        rule(
            "open",
            &format!(r#"file where event.action == "open" and file.path == "{}""#, open.display()),
        ),
        rule(
            "write",
            &format!(
                r#"file where event.action == "modification" and file.path == "{}""#,
                write.display()
            ),
        ),
        rule(
            "tree",
            &format!(
                r#"file where event.action == "open" and file.path like "{}/*""#,
                below.display()
            ),
        ),
        rule(
            "environment",
            r#"process where event.action == "exec" and process.env_vars like "PROVOKE_MARK=*""#,
        ),
    ];
    fs::write(rules.join("provoke.toml"), texts.concat()).context("writing the rules")?;
    Ok(rules)
}

/// A rule file's entry; what it tests is tested by the cases.
fn rule(name: &str, query: &str) -> String {
    let category = query.split(' ').next().unwrap_or_default();
    format!(
        "[[rule]]\nid = \"provoke-{name}\"\nname = \"Provoked: {name}\"\n\
         description = \"Exists so that the sensors deliver what the cases need.\"\n\
         severity = \"low\"\nattack = []\ntags = []\nreferences = []\n\
         query = '''\n{query}\n'''\n\n\
         [[rule.test]]\nname = \"another event\"\nalert = false\n\
         event = {{ \"event.category\" = \"{category}\", \"event.action\" = \"end\" }}\n\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_report_is_read_strictly() {
        let row = json!({"operation": "exec", "state": "observed", "provider": "tracepoint"});
        let doctor = Doctor::parse(&json!({"tier": "observe", "operations": [row]})).unwrap();
        assert!(doctor.operations[&Kind::Exec].seen());
        let odd = json!({"operation": "exec", "state": "perhaps"});
        assert!(Doctor::parse(&json!({"operations": [odd]})).is_err());
        assert!(Doctor::parse(&json!({"operations": [{"operation": "dance"}]})).is_err());
    }
}
