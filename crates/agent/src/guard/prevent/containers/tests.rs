//! Hosts of several runtimes, as files in a directory.

use super::*;

const WEB: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const DB: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";

/// A host on whose disk these files are, as who runs the test owns them.
fn host(files: &[(&str, String)]) -> (tempfile::TempDir, Containers) {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let owner = fs::metadata(dir.path()).unwrap().uid();
    let root = dir.path().to_owned();
    (dir, Containers { root, owner, files: HashMap::new() })
}

fn wanted(name: &str, image: &str, labels: &[(&str, &str)]) -> Container {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Container { name: some(name), image: some(image), labels: labels.collect() }
}

#[test]
fn what_docker_writes_is_found() {
    let of_docker = r#"{"Name": "/web-1", "State": {"Running": true}, "Config":
        {"Image": "nginx:1.27", "Labels": {"tier": "front", "team": "a"}}}"#;
    let at = format!("srv/docker/containers/{WEB}/config.v2.json");
    let (_dir, mut host) = host(&[
        ("etc/docker/daemon.json", r#"{"data-root": "/srv/docker"}"#.to_owned()),
        (&at, of_docker.to_owned()),
    ]);
    host.look(&[WEB, DB]);
    for (name, image, labels) in [
        ("web-1", "", &[][..]),
        ("web-*", "nginx:*", &[]),
        ("", "nginx:1.27", &[("tier", "front"), ("team", "a")]),
    ] {
        let wanted = wanted(name, image, labels);
        assert!(host.fits(WEB, &wanted), "{wanted:?}");
        assert!(!host.fits(DB, &wanted), "{wanted:?}");
    }
    for (name, image, labels) in [
        ("web", "", &[][..]),
        ("web-1", "nginx", &[]),
        ("", "", &[("tier", "back")]),
        ("web-1", "", &[("tier", "front"), ("team", "b")]),
    ] {
        let wanted = wanted(name, image, labels);
        assert!(!host.fits(WEB, &wanted), "{wanted:?}");
    }
}

#[test]
fn the_runtimes_of_kubernetes_are_asked_in_the_same_words() {
    let of_containerd = r#"{"ociVersion": "1.2.0", "annotations": {
        "io.kubernetes.cri.container-name": "app", "io.kubernetes.cri.sandbox-name": "shop-1",
        "io.kubernetes.cri.sandbox-namespace": "shop",
        "io.kubernetes.cri.image-name": "docker.io/library/redis"}}"#;
    let of_crio = r#"{"annotations": {
        "io.kubernetes.container.name": "app", "io.kubernetes.pod.name": "shop-1",
        "io.kubernetes.cri-o.ImageName": "docker.io/library/redis:latest",
        "io.kubernetes.cri-o.Labels": "{\"io.kubernetes.pod.namespace\":\"shop\"}"}}"#;
    let one = format!("run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io/{WEB}/config.json");
    let other = format!("run/containers/storage/overlay-containers/{DB}/userdata/config.json");
    let (_dir, mut host) = host(&[(&one, of_containerd.to_owned()), (&other, of_crio.to_owned())]);
    host.look(&[WEB, DB]);
    let pod = [("io.kubernetes.pod.namespace", "shop"), ("io.kubernetes.pod.name", "shop-1")];
    for image in ["redis", "redis:latest", "docker.io/library/redis*", "*redis"] {
        for id in [WEB, DB] {
            assert!(host.fits(id, &wanted("app", image, &pod)), "{id} {image}");
            assert!(!host.fits(id, &wanted("app", "redis:7", &pod)), "{id}");
        }
    }
}

#[test]
fn what_podman_lists_is_read_again_when_it_changes() {
    let list = |name: &str| {
        format!(
            r#"[{{"id": "{WEB}", "names": ["{name}"], "image": "0f",
                "metadata": "{{\"image-name\":\"quay.io/a/web:2\",\"name\":\"{name}\"}}"}},
                {{"id": 7}}]"#
        )
    };
    let path = "var/lib/containers/storage/overlay-containers/containers.json";
    let (dir, mut host) = host(&[(path, list("web"))]);
    host.look(&[WEB]);
    assert!(host.fits(WEB, &wanted("web", "quay.io/a/web:2", &[])));
    fs::write(dir.path().join(path), list("another")).unwrap();
    host.look(&[WEB]);
    assert!(host.fits(WEB, &wanted("another", "", &[])));
    assert!(!host.fits(WEB, &wanted("web", "", &[])));
    fs::remove_file(dir.path().join(path)).unwrap();
    host.look(&[WEB]);
    assert!(!host.fits(WEB, &wanted("another", "", &[])));
}

#[test]
fn what_others_may_write_and_what_is_torn_tells_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let text = r#"{"Name": "/web", "Config": {}}"#;
    let path = format!("var/lib/docker/containers/{WEB}/config.v2.json");
    let (dir, mut host) = host(&[(&path, text.to_owned())]);
    host.look(&[WEB]);
    assert!(host.fits(WEB, &wanted("web", "", &[])));
    let path = dir.path().join(path);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    host.look(&[WEB]);
    assert!(!host.fits(WEB, &wanted("web", "", &[])));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, &text[..20]).unwrap();
    host.look(&[WEB]);
    assert!(!host.fits(WEB, &wanted("web", "", &[])));
}

#[test]
fn cgroups_of_containers_are_those_that_are_called_by_an_id() {
    for (cgroup, is) in [
        (format!("docker-{WEB}.scope"), true),
        (format!("cri-containerd-{WEB}.scope"), true),
        (format!("kubepods-burstable-pod1.slice:cri-containerd:{WEB}"), true),
        (WEB.to_owned(), true),
        (format!("libpod-conmon-{WEB}.scope"), false),
        (WEB[1..].to_owned(), false),
        ("sshd.service".to_owned(), false),
    ] {
        assert_eq!(id(&cgroup), is.then_some(WEB), "{cgroup}");
    }
}
