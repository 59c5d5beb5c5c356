//! What the path of a cgroup tells: container, runtime, systemd unit and slice.

use std::ops::Range;

use crate::facts::FACT_BYTES_MAX;

/// A cgroup path, parsed once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cgroup {
    path: Box<[u8]>,
    container: Option<Range<usize>>,
    runtime: Option<&'static str>,
    unit: Option<Range<usize>>,
    slice: Option<Range<usize>>,
}

/// Scopes and directories that runtimes make: what precedes the container's hexadecimal id.
const PREFIXES: &[(&str, &str)] = &[
    ("docker-", "docker"),
    ("cri-containerd-", "containerd"),
    ("nerdctl-", "containerd"),
    ("crio-", "cri-o"),
    ("libpod-payload-", "podman"),
    ("libpod-", "podman"),
];

/// Kinds of systemd units that hold processes, slices aside.
const UNITS: &[&[u8]] = &[b".service", b".scope", b".socket", b".mount", b".swap"];

impl Cgroup {
    /// Never fails: what is not recognised is absent.
    pub(crate) fn parse(path: &[u8]) -> Cgroup {
        let mut cgroup =
            Cgroup { path: path.into(), container: None, runtime: None, unit: None, slice: None };
        let parts: Vec<Range<usize>> = components(path).collect();
        // The innermost container is the one that the process is in.
        let found = (0..parts.len()).rev().find_map(|at| container(path, &parts, at));
        if let Some((id, runtime)) = found {
            cgroup.container = Some(id);
            cgroup.runtime = runtime;
        }
        // systemd's own definition: slices first, then the first unit that is none.
        for part in parts {
            let name = path.get(part.clone()).unwrap_or_default();
            if name.ends_with(b".slice") {
                cgroup.slice = Some(part);
            } else {
                if UNITS.iter().any(|suffix| name.ends_with(suffix)) {
                    cgroup.unit = Some(part);
                }
                break;
            }
        }
        cgroup
    }

    /// From `/proc/PID/cgroup`: of the hierarchies of version 1 the first in which the process is
    /// in a container, or else in which it is deepest.
    pub(crate) fn of_process(hierarchies: &[u8]) -> Cgroup {
        let lines = hierarchies.split(|byte| *byte == b'\n');
        let paths = lines.filter_map(|line| {
            // number:controllers:path; the number of version 2 is 0. Paths may have colons.
            let mut parts = line.splitn(3, |byte| *byte == b':');
            let (number, _, path) = (parts.next()?, parts.next()?, parts.next()?);
            (number != b"0").then_some(path.get(..FACT_BYTES_MAX).unwrap_or(path))
        });
        let rank = |cgroup: &Cgroup| {
            let depth = components(&cgroup.path).count();
            (cgroup.container.is_some(), depth)
        };
        let best = paths
            .map(Cgroup::parse)
            .reduce(|best, next| if rank(&next) > rank(&best) { next } else { best });
        best.unwrap_or_else(|| Cgroup::parse(b""))
    }

    pub(crate) fn path(&self) -> Option<&[u8]> {
        Some(&*self.path).filter(|path| !path.is_empty())
    }

    pub(crate) fn container(&self) -> Option<&[u8]> {
        self.container.clone().and_then(|range| self.path.get(range))
    }

    pub(crate) fn runtime(&self) -> Option<&'static str> {
        self.runtime
    }

    pub(crate) fn unit(&self) -> Option<&[u8]> {
        self.unit.clone().and_then(|range| self.path.get(range))
    }

    pub(crate) fn slice(&self) -> Option<&[u8]> {
        self.slice.clone().and_then(|range| self.path.get(range))
    }
}

/// Byte ranges of the components of a path.
fn components(path: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    path.split(|byte| *byte == b'/').filter_map(move |part| {
        let range = at..at + part.len();
        at = range.end + 1;
        (!part.is_empty()).then_some(range)
    })
}

/// Id (as a range) and runtime, if component `at` is a container's.
fn container(
    path: &[u8],
    parts: &[Range<usize>],
    at: usize,
) -> Option<(Range<usize>, Option<&'static str>)> {
    let range = parts.get(at)?.clone();
    let name = std::str::from_utf8(path.get(range.clone())?).ok()?;
    let outer = at.checked_sub(1).and_then(|at| parts.get(at)).cloned();
    let outer = outer.and_then(|range| path.get(range)).unwrap_or_default();
    // An id at the end of the component, before an optional `.scope`.
    let stem = name.strip_suffix(".scope").unwrap_or(name);
    let id = |prefix: usize| range.start + prefix..range.start + stem.len();

    for (prefix, runtime) in PREFIXES {
        if stem.strip_prefix(prefix).is_some_and(is_id) {
            return Some((id(prefix.len()), Some(runtime)));
        }
    }
    // runc given a systemd name under the cgroupfs driver: slice:prefix:id
    if let Some((left, last)) = stem.rsplit_once(':')
        && is_id(last)
    {
        let prefix = left.rsplit_once(':').map_or(left, |(_, prefix)| prefix);
        let known = PREFIXES.iter().find(|(name, _)| name.strip_suffix('-') == Some(prefix));
        return Some((id(left.len() + 1), known.map(|(_, runtime)| *runtime)));
    }
    if let Some(machine) = stem.strip_prefix("systemd-nspawn@") {
        let machine = machine.strip_suffix(".service").unwrap_or(machine);
        let start = range.start + "systemd-nspawn@".len();
        return Some((start..start + machine.len(), Some("systemd-nspawn")));
    }
    if outer == b"machine.slice"
        && let Some(machine) = stem.strip_prefix("machine-")
        && !machine.starts_with("qemu")
    {
        let runtime = if machine.starts_with("lxc") { "lxc" } else { "systemd-nspawn" };
        return Some((id("machine-".len()), Some(runtime)));
    }
    if stem.len() > "lxc.payload.".len() && stem.starts_with("lxc.payload.") {
        return Some((id("lxc.payload.".len()), Some("lxc")));
    }
    match outer {
        b"lxc" | b"lxc.payload" => Some((range, Some("lxc"))),
        b"docker" if is_id(stem) => Some((range, Some("docker"))),
        b"buildkit" => Some((range, Some("buildkit"))),
        // Kubernetes and others with the cgroupfs driver: the path does not name the runtime.
        _ if stem.len() == 64 && is_id(stem) => Some((range, None)),
        _ => None,
    }
}

/// Container ids are 64 hexadecimal digits, short ones 12.
fn is_id(text: &str) -> bool {
    (12..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Path, container, runtime, unit, slice. `#` stands for an id of 64 digits.
    const CASES: &[(&str, &str, &str, &str, &str)] = &[
        ("/", "", "", "", ""),
        ("", "", "", "", ""),
        ("/init.scope", "", "", "init.scope", ""),
        ("/system.slice/nginx.service", "", "", "nginx.service", "system.slice"),
        (
            "/user.slice/user-1000.slice/session-3.scope",
            "",
            "",
            "session-3.scope",
            "user-1000.slice",
        ),
        (
            "/user.slice/user-1000.slice/user@1000.service/app.slice/x.service",
            "",
            "",
            "user@1000.service",
            "user-1000.slice",
        ),
        ("/system.slice/docker-#.scope", "#", "docker", "docker-#.scope", "system.slice"),
        ("/docker/#", "#", "docker", "", ""),
        ("/docker/#/system.slice/nginx.service", "#", "docker", "", ""),
        (
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-#.scope",
            "#",
            "containerd",
            "cri-containerd-#.scope",
            "kubepods-burstable-pod1.slice",
        ),
        (
            "/kubepods.slice/kubepods-pod1.slice/crio-#.scope",
            "#",
            "cri-o",
            "crio-#.scope",
            "kubepods-pod1.slice",
        ),
        ("/kubepods.slice/crio-conmon-#.scope", "", "", "crio-conmon-#.scope", "kubepods.slice"),
        ("/kubepods/burstable/pod1/#", "#", "", "", ""),
        (
            "/machine.slice/libpod-#.scope/container",
            "#",
            "podman",
            "libpod-#.scope",
            "machine.slice",
        ),
        ("/machine.slice/libpod-conmon-#.scope", "", "", "libpod-conmon-#.scope", "machine.slice"),
        ("/libpod_parent/libpod-#", "#", "podman", "", ""),
        ("/lxc/web", "web", "lxc", "", ""),
        ("/lxc.payload.web/system.slice/x.service", "web", "lxc", "", ""),
        (
            "/machine.slice/systemd-nspawn@deb.service/payload",
            "deb",
            "systemd-nspawn",
            "systemd-nspawn@deb.service",
            "machine.slice",
        ),
        (
            "/machine.slice/machine-deb.scope",
            "deb",
            "systemd-nspawn",
            "machine-deb.scope",
            "machine.slice",
        ),
        (
            "/machine.slice/machine-qemu\\x2d1.scope",
            "",
            "",
            "machine-qemu\\x2d1.scope",
            "machine.slice",
        ),
        ("/x/system.slice:cri-containerd:#", "#", "containerd", "", ""),
        ("/docker/not-an-id", "", "", "", ""),
        ("/docker/#/docker/~", "~", "docker", "", ""),
    ];

    #[test]
    fn paths_tell_container_unit_and_slice() {
        let (outer, inner) = ("0123456789abcdef".repeat(4), "f".repeat(64));
        let fill = |text: &str| text.replace('#', &outer).replace('~', &inner);
        let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().into());
        for (path, container, runtime, unit, slice) in CASES {
            let cgroup = Cgroup::parse(fill(path).as_bytes());
            assert_eq!(text(cgroup.container()).unwrap(), fill(container), "{path}");
            assert_eq!(cgroup.runtime().unwrap_or_default(), *runtime, "{path}");
            assert_eq!(text(cgroup.unit()).unwrap(), fill(unit), "{path}");
            assert_eq!(text(cgroup.slice()).unwrap(), fill(slice), "{path}");
        }
    }

    #[test]
    fn of_the_old_hierarchies_the_one_with_the_container_counts() {
        let id = "0123456789abcdef".repeat(4);
        let text =
            format!("9:name=systemd:/a/b/c/d\n8:pids:/docker/{id}\n7:cpu:/\n0::/x/docker/{id}");
        let cgroup = Cgroup::of_process(text.as_bytes());
        assert_eq!(cgroup.path(), Some(format!("/docker/{id}").as_bytes()));
        assert_eq!((cgroup.container(), cgroup.runtime()), (Some(id.as_bytes()), Some("docker")));
        let cgroup = Cgroup::of_process(b"2:cpu:/\n1:name=systemd:/system.slice/a:b.service\n");
        assert_eq!(cgroup.unit(), Some(b"a:b.service".as_slice()));
        assert_eq!(Cgroup::of_process(b"0::/system.slice\nodd\n").path(), None);
    }

    proptest::proptest! {
        #[test]
        fn no_path_panics(path: Vec<u8>) {
            let cgroup = Cgroup::parse(&path);
            proptest::prop_assert_eq!(cgroup.path().unwrap_or_default(), &path[..]);
        }
    }
}
