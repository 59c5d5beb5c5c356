//! `provoke rules`: provokes every shipped rule that can be provoked without harm, by a script that
//! really does what the rule is about, and a control beside it that must not be told.

mod deeds;
mod world;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::agent::Agent;
use crate::event::Event;
use crate::host::Tally;
use crate::lab::{ContainerCgroup, PATIENCE};
use deeds::{DIRECTORIES, Deed, FILES, OF_ACTS, OF_FILES, OF_PROGRAMS, UNPROVOKED};

/// Where the scripts and their files lie, in the world of their own.
const PLACE: &str = "/provoke";
/// What each script begins with.
const PRELUDE: &str = r#"
D=/provoke/$1; ME=$2; CGROUP=$3
mkdir -p "$D/bin"
PATH="$D/bin:$PATH"
t() { n=$1; shift; [ -e "$D/bin/$n" ] || cp /bin/true "$D/bin/$n"; "$n" "$@"; }
sh_as() { n=$1; shift; cp /bin/sh "$D/bin/$n"; "$n" "$@"; }
me_as() { n=$1; shift; cp "$ME" "$D/bin/$n"; "$n" act "$@"; }
sleep_as() { cp /bin/sleep "$D/bin/$1"; "$1" 20 & sleep 0.05; }
contained() { echo 0 > "$CGROUP/cgroup.procs"; }
"#;

/// Runs `provoke rules --agent PATH --rules DIR [--only ID,…]`; false when a case failed.
pub(crate) fn command(args: &[OsString]) -> Result<bool> {
    let (mut agent, mut rules, mut only) = (None, None, Vec::new());
    for pair in args.chunks(2) {
        let [name, value] = pair else { bail!("each option needs a value") };
        match name.to_str() {
            Some("--agent") => agent = Some(fs::canonicalize(value).context("--agent")?),
            Some("--rules") => rules = Some(fs::canonicalize(value).context("--rules")?),
            Some("--only") => {
                only = value.to_string_lossy().split(',').map(str::to_owned).collect();
            }
            _ => bail!("unknown option {}", name.display()),
        }
    }
    let agent = agent.context("--agent PATH is needed")?;
    let rules = rules.context("--rules DIR is needed")?;
    let mut tally = Tally::default();
    if let Err(error) = all(&agent, &rules, &only, &mut tally) {
        tally.case("setup", &[format!("{error:#}")]);
    }
    Ok(tally.close())
}

fn all(agent: &Path, rules: &Path, only: &[String], tally: &mut Tally) -> Result<()> {
    let me = std::env::current_exe().context("own path")?;
    let around = |path: &Path| path.parent().map_or_else(|| path.to_owned(), Path::to_owned);
    world::enter(&[around(&me), around(agent), rules.to_owned()])?;
    world::furnish(FILES, DIRECTORIES)?;
    fs::create_dir_all(PLACE).context("the place of the scripts")?;
    coverage(rules, tally)?;
    let cgroup = ContainerCgroup::find();
    if let Some(cgroup) = &cgroup {
        fs::create_dir_all(&cgroup.directory).context("a cgroup that looks like a container's")?;
    }
    let directory = cgroup.as_ref().map(|cgroup| cgroup.directory.clone()).unwrap_or_default();
    let scene = Scene {
        agent: Agent::watch(agent, &PathBuf::from("/run/provoke"), rules)?,
        me,
        cgroup: directory,
    };
    let wanted = |deed: &&Deed| only.is_empty() || only.iter().any(|id| id == deed.rule);
    let deeds = [OF_FILES, OF_PROGRAMS, OF_ACTS].into_iter().flatten().filter(wanted);
    let mut done = Vec::new();
    for deed in deeds {
        // The control first: what its sources had to tell has come when the deed is told of.
        let ran = scene.run(deed, "control", deed.control);
        done.push((
            deed,
            ran.and_then(|control| Ok((control, scene.run(deed, "deed", deed.script)?))),
        ));
    }
    for (deed, ran) in done {
        let failures = match ran {
            Ok((control, script)) => scene.judge(deed, control, script),
            Err(error) => vec![format!("expected the scripts to run, got {error:#}")],
        };
        tally.case(&format!("rule/{}", deed.rule), &failures);
    }
    if tally.has_failed() {
        println!("STATUS {}", scene.agent.status()?);
    }
    for (rule, reason) in UNPROVOKED {
        tally.absent(&format!("rule/{rule}"), reason);
    }
    Ok(())
}

/// Each shipped rule has a deed, or a reason why not; and neither names one that is not shipped.
fn coverage(rules: &Path, tally: &mut Tally) -> Result<()> {
    let shipped = ids(rules)?;
    let deeds = [OF_FILES, OF_PROGRAMS, OF_ACTS].into_iter().flatten().map(|deed| deed.rule);
    let known: BTreeSet<String> =
        deeds.chain(UNPROVOKED.iter().map(|(rule, _)| *rule)).map(str::to_owned).collect();
    let without = shipped.difference(&known).map(|id| format!("nothing provokes {id}"));
    let unknown = known.difference(&shipped).map(|id| format!("no rule is called {id}"));
    let failures: Vec<String> = without.chain(unknown).collect();
    tally.case("rules/each has a deed or a reason", &failures);
    Ok(())
}

/// Ids of the rules in a directory, as `id = "…"` at the start of a line.
fn ids(rules: &Path) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(rules).context("the rules directory")? {
        let path = entry.context("the rules directory")?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let ids = text.lines().filter_map(|line| line.strip_prefix("id = \""));
            found.extend(ids.map(|id| id.trim_end_matches('"').to_owned()));
        }
    }
    Ok(found)
}

/// The running agent and what scripts need.
struct Scene {
    agent: Agent,
    me: PathBuf,
    cgroup: PathBuf,
}

impl Scene {
    /// Runs a script to its end; its pid. What its programs return is their own business.
    fn run(&self, deed: &Deed, part: &str, text: &str) -> Result<u32> {
        let name = format!("{}-{part}", deed.rule);
        let script = world::script(
            &Path::new(PLACE).join(format!("{name}.sh")),
            &format!("{PRELUDE}\n{text}\n"),
        )?;
        let mut command = Command::new("/bin/sh");
        command.arg(script).arg(&name).arg(&self.me).arg(&self.cgroup);
        let log = fs::File::create(Path::new(PLACE).join(format!("{name}.log"))).context("log")?;
        let errors = log.try_clone().context("log")?;
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        let mut child: Child = command.spawn().context("starting a script")?;
        child.wait().context("waiting for a script")?;
        Ok(child.id())
    }

    fn judge(&self, deed: &Deed, control: u32, script: u32) -> Vec<String> {
        let of =
            |root: u32| move |alert: &Event| is_rule(alert, deed.rule) && is_below(alert, root);
        let mut failures = Vec::new();
        let alert = self.agent.alerts.wait(PATIENCE, of(script));
        if alert.is_none() {
            let log = Path::new(PLACE).join(format!("{}-deed.log", deed.rule));
            let said = fs::read_to_string(log).unwrap_or_default();
            let others = self.agent.alerts.all(|alert| is_rule(alert, deed.rule)).len();
            failures.push(format!(
                "expected an alert of `{}`, got none (and {others} of others); it said: {}",
                deed.script,
                said.trim()
            ));
        }
        for alert in self.agent.alerts.all(of(control)) {
            failures.push(format!("expected no alert of `{}`, got {}", deed.control, alert.0));
        }
        failures
    }
}

fn is_rule(alert: &Event, id: &str) -> bool {
    alert.text("rule.id").as_deref() == Some(id)
}

/// Whether the process is that one, or comes from it.
fn is_below(alert: &Event, root: u32) -> bool {
    let root = u64::from(root);
    let pid = |value: &serde_json::Value| value.get("pid").and_then(serde_json::Value::as_u64);
    let ancestors = alert.get("process.Ext.ancestors").and_then(serde_json::Value::as_array);
    alert.get("process").and_then(pid) == Some(root)
        || ancestors.into_iter().flatten().any(|one| pid(one) == Some(root))
}
