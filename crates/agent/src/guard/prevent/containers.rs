//! What runtimes say of their containers: name, image and labels, as they leave them on disk.
//!
//! No daemon is asked: one that hangs would hold up enforcement, and one that is taken over could
//! answer anything. What is read is what a runtime wrote before the container began:
//!
//! | runtime | files |
//! |---|---|
//! | Docker | `containers/ID/config.v2.json` below its data root |
//! | containerd (Kubernetes, nerdctl) | `io.containerd.runtime.v2.task/*/ID/config.json` below its state |
//! | CRI-O, Podman | `overlay-containers/ID/userdata/config.json`, `overlay-containers/containers.json` |
//!
//! Only files of root are believed. So containers that users run without root are known by their
//! ids alone.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use model::policy::Container;
use policy::subjects::wildcard;
use serde_json::{Map, Value};

use crate::worker::read_limited;

/// Bytes of a file about one container, and of one about all: many times what they have.
const FILE_MAX: u64 = 4 << 20;
/// Namespaces of containerd that are looked into.
const NAMESPACES_MAX: usize = 64;
/// Digits of an id, as runtimes write it.
const ID_LEN: usize = 64;
/// Digits of it that tell containers apart.
const ID_LEAST: usize = 12;

/// Docker's data root, unless its configuration names another.
const DOCKER: &str = "var/lib/docker";
/// Where containerd keeps its state: by itself, in k3s, in MicroK8s.
const CONTAINERD: [&str; 3] =
    ["run/containerd", "run/k3s/containerd", "var/snap/microk8s/common/run/containerd"];
/// Storage that CRI-O and Podman share: what lasts and what runs.
const STORAGE: [&str; 2] = ["var/lib/containers/storage", "run/containers/storage"];

/// What is known of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Told {
    names: Vec<String>,
    /// The image as it was asked for, and in the forms that mean the same.
    images: Vec<String>,
    labels: Vec<(String, String)>,
}

/// When a file was changed, and how long it is.
type Stamp = (i64, i64, u64);

/// Containers of this host.
#[derive(Debug)]
pub(super) struct Containers {
    root: PathBuf,
    /// Whose files are believed.
    owner: u32,
    /// What files said when they were read last; one about many tells of several.
    files: HashMap<PathBuf, (Stamp, HashMap<String, Told>)>,
}

impl Containers {
    /// Reads nothing yet.
    pub(super) fn new() -> Containers {
        Containers { root: PathBuf::from("/"), owner: 0, files: HashMap::new() }
    }

    /// Takes note of what is on disk about these ids now; files that did not change are not read.
    pub(super) fn look(&mut self, ids: &[&str]) {
        let mut before = std::mem::take(&mut self.files);
        let storage = STORAGE.map(|storage| self.root.join(storage).join("overlay-containers"));
        let lists = storage.iter().map(|dir| (dir.join("containers.json"), Form::List));
        let bundles = self.bundles();
        let docker = self.docker();
        let each = ids.iter().flat_map(|id| {
            let runs = bundles.iter().map(move |dir| dir.join(id).join("config.json"));
            let kept = storage.iter().map(move |dir| dir.join(id).join("userdata/config.json"));
            let docker = docker.join(id).join("config.v2.json");
            let bundle = move |path| (path, Form::Bundle(id));
            runs.chain(kept).map(bundle).chain([(docker, Form::Docker(id))])
        });
        for (path, form) in lists.chain(each) {
            let about = fs::metadata(&path).ok();
            let Some(about) = about.filter(|about| self.believes(about)) else { continue };
            let stamp = stamp(&about);
            let known = before.remove(&path).filter(|known| known.0 == stamp);
            let known = known.unwrap_or_else(|| (stamp, form.read(&path)));
            self.files.insert(path, known);
        }
    }

    /// Whether the container with that id is described so.
    pub(super) fn fits(&self, id: &str, wanted: &Container) -> bool {
        let known: Vec<&Told> = self.files.values().filter_map(|file| file.1.get(id)).collect();
        let all = |of: fn(&Told) -> &[String], wanted: &Option<String>| {
            wanted.as_ref().is_none_or(|wanted| {
                let mut texts = known.iter().flat_map(|told| of(told));
                texts.any(|text| wildcard(wanted.as_bytes(), text.as_bytes()))
            })
        };
        !known.is_empty()
            && all(|told| &told.names, &wanted.name)
            && all(|told| &told.images, &wanted.image)
            && (wanted.labels.iter())
                .all(|label| known.iter().any(|told| told.labels.contains(label)))
    }

    /// Root's, and nobody else may write it.
    fn believes(&self, about: &Metadata) -> bool {
        about.is_file() && about.uid() == self.owner && about.mode() & 0o022 == 0
    }

    fn docker(&self) -> PathBuf {
        let told = json(&self.root.join("etc/docker/daemon.json"));
        let moved = told.as_ref().and_then(|told| told.get("data-root")?.as_str());
        let data = moved.map_or(DOCKER, |moved| moved.trim_start_matches('/'));
        self.root.join(data).join("containers")
    }

    /// Where containerd has the bundles of its namespaces.
    fn bundles(&self) -> Vec<PathBuf> {
        let tasks =
            CONTAINERD.map(|state| self.root.join(state).join("io.containerd.runtime.v2.task"));
        let spaces = tasks.iter().filter_map(|dir| fs::read_dir(dir).ok()).flatten();
        spaces.filter_map(|space| Some(space.ok()?.path())).take(NAMESPACES_MAX).collect()
    }
}

/// How a file tells of containers.
#[derive(Clone, Copy)]
enum Form<'i> {
    /// The configuration that runc gets, of one container.
    Bundle(&'i str),
    /// Docker's own, of one container.
    Docker(&'i str),
    /// The list of containers/storage, of all.
    List,
}

impl Form<'_> {
    /// What the file says; nothing if it cannot be read, which is told.
    fn read(self, path: &Path) -> HashMap<String, Told> {
        let Some(document) = json(path) else {
            tracing::warn!(path = %path.display(), "what it says of containers cannot be read");
            return HashMap::new();
        };
        match self {
            Form::Bundle(id) => HashMap::from([(id.to_owned(), bundle(&document))]),
            Form::Docker(id) => HashMap::from([(id.to_owned(), docker(&document))]),
            Form::List => document.as_array().into_iter().flatten().filter_map(listed).collect(),
        }
    }
}

/// The id of the container whose cgroup is called so; its monitor is not in the container.
pub(super) fn id(cgroup: &str) -> Option<&str> {
    let stem = cgroup.strip_suffix(".scope").unwrap_or(cgroup);
    let (before, id) = stem.rfind(['-', ':']).map_or(("", stem), |at| {
        (stem.get(..at).unwrap_or_default(), stem.get(at + 1..).unwrap_or_default())
    });
    let is_id = id.len() == ID_LEN && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_id && !before.ends_with("conmon")).then_some(id)
}

/// The id of a container, or the beginning of it, if it is described by that alone.
pub(super) fn begins(container: &Container) -> Option<&str> {
    let Container { name, image, labels } = container;
    let alone = image.is_none() && labels.is_empty();
    name.as_deref().filter(|name| {
        let hexadecimal = name.bytes().all(|byte| byte.is_ascii_hexdigit());
        alone && hexadecimal && name.len() >= ID_LEAST
    })
}

fn docker(document: &Value) -> Told {
    let mut told = Told::default();
    told.name(
        document.get("Name").and_then(Value::as_str).map(|name| name.trim_start_matches('/')),
    );
    let config = document.get("Config");
    told.image(config.and_then(|config| config.get("Image")?.as_str()));
    told.labels(config.and_then(|config| config.get("Labels")?.as_object()));
    told
}

/// Kubernetes' words stand for the same whichever runtime uses its own for them.
fn bundle(document: &Value) -> Told {
    let mut told = Told::default();
    let Some(notes) = document.get("annotations").and_then(Value::as_object) else { return told };
    let note = |name: &str| notes.get(name).and_then(Value::as_str);
    told.labels(Some(notes));
    for (label, name) in [
        ("io.kubernetes.container.name", "io.kubernetes.cri.container-name"),
        ("io.kubernetes.pod.name", "io.kubernetes.cri.sandbox-name"),
        ("io.kubernetes.pod.namespace", "io.kubernetes.cri.sandbox-namespace"),
        ("io.kubernetes.pod.uid", "io.kubernetes.cri.sandbox-uid"),
    ] {
        if let (None, Some(value)) = (note(label), note(name)) {
            told.labels.push((label.to_owned(), value.to_owned()));
        }
    }
    let within =
        note("io.kubernetes.cri-o.Labels").and_then(|text| serde_json::from_str(text).ok());
    told.labels(within.as_ref().and_then(Value::as_object));
    let names =
        ["io.kubernetes.container.name", "io.kubernetes.cri.container-name", "nerdctl/name"];
    for name in names {
        told.name(note(name));
    }
    let images = ["io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName", "nerdctl/image"];
    for image in images {
        told.image(note(image));
    }
    told
}

/// An entry of the list of containers/storage.
fn listed(entry: &Value) -> Option<(String, Told)> {
    let mut told = Told::default();
    let names = entry.get("names").and_then(Value::as_array);
    for name in names.into_iter().flatten() {
        told.name(name.as_str());
    }
    let more: Option<Value> =
        entry.get("metadata").and_then(|text| serde_json::from_str(text.as_str()?).ok());
    let more = |name: &str| more.as_ref().and_then(|more| more.get(name)?.as_str());
    told.name(more("name"));
    told.image(more("image-name"));
    Some((entry.get("id")?.as_str()?.to_owned(), told))
}

impl Told {
    fn name(&mut self, name: Option<&str>) {
        let name = name.map(str::to_owned);
        self.names.extend(name.filter(|name| !name.is_empty() && !self.names.contains(name)));
    }

    /// With what a person may have left out: where it comes from, and that it is the latest.
    fn image(&mut self, image: Option<&str>) {
        let Some(image) = image.filter(|image| !image.is_empty()) else { return };
        let short = image.strip_prefix("docker.io/").unwrap_or(image);
        let short = short.strip_prefix("library/").unwrap_or(short);
        let last = short.rsplit('/').next().unwrap_or(short);
        let latest = (!last.contains([':', '@'])).then(|| format!("{short}:latest"));
        let untagged = short.strip_suffix(":latest").map(str::to_owned);
        let forms = [image.to_owned(), short.to_owned()].into_iter().chain(latest).chain(untagged);
        self.images.extend(forms);
        self.images.sort_unstable();
        self.images.dedup();
    }

    fn labels(&mut self, labels: Option<&Map<String, Value>>) {
        let text =
            |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
        self.labels.extend(labels.into_iter().flatten().filter_map(text));
    }
}

fn stamp(about: &Metadata) -> Stamp {
    (about.ctime(), about.ctime_nsec(), about.len())
}

fn json(path: &Path) -> Option<Value> {
    serde_json::from_slice(&read_limited(path, FILE_MAX).ok()?).ok()
}

#[cfg(test)]
mod tests;
