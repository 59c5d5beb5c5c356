//! From the text of a policy to what the kernel half takes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

use anyhow::{Context, Result, bail};
use kernel::enforce::{Id, IdKind, Mount};
use model::policy::{Container, Mode};
use policy::subjects::Resolve;
use policy::{Compiled, Options, Tables, compile};

/// Compiles the text of a policy.
pub(crate) fn compiled(text: &str, generation: u64) -> Result<Compiled> {
    let loaded = lang::policy::load([("evade.yaml".to_owned(), text.to_owned())]);
    if loaded.has_errors() {
        bail!("the policy has errors: {:#?}", loaded.diagnostics);
    }
    let options = Options { generation, mode: Mode::Enforce, now: 0 };
    compile(&loaded.policies, &options).context("compiling the policy")
}

/// The names that a guest has.
struct Host;

impl Resolve for Host {
    fn user(&self, name: &str) -> Option<u32> {
        (name == "root").then_some(0)
    }

    fn group(&self, name: &str) -> Option<u32> {
        (name == "root").then_some(0)
    }

    /// The subtree, as it is now.
    fn cgroups(&self, path: &str) -> Vec<u64> {
        let mut all = Vec::new();
        let mut open = vec![format!("{}{path}", crate::lab::cgroups().display())];
        while let Some(directory) = open.pop() {
            let Ok(about) = fs::metadata(&directory) else { continue };
            all.push(about.ino());
            let Ok(entries) = fs::read_dir(&directory) else { continue };
            let directories = entries.filter_map(|entry| {
                let entry = entry.ok()?;
                entry.file_type().ok()?.is_dir().then(|| entry.path())
            });
            open.extend(directories.map(|path| path.to_string_lossy().into_owned()));
        }
        all
    }

    fn units(&self, _name: &str) -> Vec<u64> {
        Vec::new()
    }

    fn containers(&self, _container: &Container) -> Vec<u64> {
        Vec::new()
    }
}

/// What users, groups and cgroups satisfy.
pub(crate) fn ids(compiled: &Compiled) -> Vec<Id> {
    let maps = compiled.symbols.resolve(&Host);
    let of = |kind, id, set: policy::Bits| Id { kind, id, set: set.0 };
    let users = maps.users.iter().map(|(id, set)| of(IdKind::User, u64::from(*id), *set));
    let groups = maps.groups.iter().map(|(id, set)| of(IdKind::Group, u64::from(*id), *set));
    let cgroups = maps.cgroups.iter().map(|(id, set)| of(IdKind::Cgroup, *id, *set));
    users.chain(groups).chain(cgroups).collect()
}

/// Where the paths of each mounted filesystem begin.
pub(crate) fn mounts(tables: &Tables) -> Result<Vec<Mount>> {
    let text = fs::read_to_string("/proc/self/mountinfo").context("reading mountinfo")?;
    let mut mounts = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [_, _, device, root, point, ..] = words.as_slice() else { continue };
        let (major, minor) = device.split_once(':').context("a device without a colon")?;
        let device = major.parse::<u64>()? << 20 | minor.parse::<u64>()?;
        let start = tables.start(point.as_bytes());
        let root = if *root == "/" { 0 } else { fs::metadata(point)?.ino() };
        mounts.push(Mount {
            device,
            root,
            anchored: start.anchored,
            loose: start.loose,
            hits: start.hits,
        });
    }
    Ok(mounts)
}

/// The number of each rule, by its id.
pub(crate) fn numbers(compiled: &Compiled) -> BTreeMap<String, u32> {
    (0..).zip(&compiled.rules).map(|(number, rule)| (rule.id.clone(), number)).collect()
}
