//! What several files of `packaging/` and `config/` say must agree.

use std::collections::BTreeSet;

use super::*;

fn read(path: &str) -> String {
    fs::read_to_string(sh::at(path)).unwrap()
}

/// Names of capabilities in a text, without prefix and in small letters.
fn words<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let words = lines.flat_map(str::split_whitespace);
    words.map(|word| word.trim_start_matches("CAP_").to_lowercase()).collect()
}

#[test]
fn capabilities_are_the_same_everywhere() {
    let unit = read("packaging/systemd/aegisbpf.service");
    let list = unit.lines().filter_map(|line| line.strip_prefix("CapabilityBoundingSet="));
    let mut list = words(list);
    assert_eq!(list.len(), 10, "{list:?}");
    // The unit has its own words for what two of them are for; others have none.
    for (word, capability) in [("LimitMEMLOCK=", "sys_resource"), ("CPUWeight=", "sys_nice")] {
        assert!(unit.lines().any(|line| line.starts_with(word)), "{word}");
        assert!(list.insert(capability.to_owned()), "{capability}");
    }
    let unit = list;

    let profile = read("packaging/apparmor/usr.bin.aegisbpf");
    let lines = profile.lines().filter_map(|line| line.trim().strip_prefix("capability "));
    assert_eq!(words(lines.map(|line| line.trim_end_matches(','))), unit);

    let module = read("packaging/selinux/aegisbpf.te");
    let lines = module.lines().filter(|line| line.starts_with("allow aegisbpf_t self:capability"));
    let inside = lines.filter_map(|line| line.split_once('{')?.1.split_once('}'));
    assert_eq!(words(inside.map(|(list, _)| list)), unit);

    let chart = read("packaging/helm/aegisbpf/templates/daemonset.yaml");
    let (_, added) = chart.split_once("              add:\n").unwrap();
    let lines = added.lines().map_while(|line| line.trim().strip_prefix("- "));
    assert_eq!(words(lines), unit);

    let image = read("packaging/container/Containerfile");
    let lists = image.split("--cap-add ").skip(1).filter_map(|rest| rest.split(' ').next());
    assert_eq!(
        lists.flat_map(|list| list.split(',')).map(str::to_owned).collect::<BTreeSet<_>>(),
        unit
    );
}

#[test]
fn what_lets_rules_move_files_gives_the_same_capabilities_everywhere() {
    let unit = read("packaging/systemd/quarantine.conf");
    let unit = words(unit.lines().filter_map(|line| line.strip_prefix("CapabilityBoundingSet=")));
    assert_eq!(unit.len(), 7, "{unit:?}");

    let profile = read("packaging/apparmor/quarantine");
    let lines = profile.lines().filter_map(|line| line.strip_prefix("capability "));
    assert_eq!(words(lines.map(|line| line.trim_end_matches(','))), unit);

    let module = read("packaging/selinux/aegisbpf.te");
    let (_, tunable) = module.split_once("tunable_policy(`aegisbpf_quarantine'").unwrap();
    let (tunable, _) = tunable.split_once("')").unwrap();
    let lines =
        tunable.lines().filter_map(|line| line.split_once("self:capability")?.1.split_once(' '));
    assert_eq!(words(lines.map(|(_, list)| list.trim_matches(['{', '}', ';', ' ']))), unit);
}

#[test]
fn the_agent_has_its_lists_of_system_calls_wherever_it_is_packaged() {
    let starts = [
        ("packaging/systemd/aegisbpf.service", "ExecStart=/usr/bin/aegisbpf run --seccomp\n"),
        ("packaging/container/Containerfile", "\nCMD [\"run\", \"--seccomp\"]\n"),
    ];
    for (file, start) in starts {
        assert!(read(file).contains(start), "{file}");
    }
}

#[test]
fn the_user_of_the_worker_is_the_same_in_image_and_chart() {
    let image = read("packaging/container/Containerfile");
    let (_, user) = image.split_once("echo 'aegisbpf:x:").unwrap();
    let (user, _) = user.split_once(':').unwrap();
    assert!(image.contains(&format!("'aegisbpf:x:{user}:{user}:")), "its group");
    assert!(image.contains(&format!("\nUSER 0:{user}\n")));
    let chart = read("packaging/helm/aegisbpf/templates/daemonset.yaml");
    assert!(chart.contains(&format!(" runAsGroup: {user}\n")));
}

#[test]
fn the_chart_names_the_image_that_releases_push() {
    let values = read("packaging/helm/aegisbpf/values.yaml");
    let named = values.lines().find_map(|line| line.trim().strip_prefix("repository: ")).unwrap();
    let release = read(".github/workflows/release.yml");
    let pushed = release.lines().find_map(|line| line.trim().strip_prefix("IMAGE: ")).unwrap();
    assert_eq!(named, pushed);
}

#[test]
fn packages_make_the_directories_of_operators_alike() {
    let tmpfiles = read("packaging/tmpfiles.d/aegisbpf.conf");
    let tmpfiles = tmpfiles.lines().filter_map(|line| line.strip_prefix("d /etc/aegisbpf/"));
    let tmpfiles: BTreeSet<&str> = tmpfiles.filter_map(|rest| rest.split(' ').next()).collect();
    let spec = read("packaging/rpm/aegisbpf.spec");
    let spec = spec.lines().filter_map(|line| line.strip_prefix("%dir /etc/aegisbpf/"));
    assert_eq!(tmpfiles, spec.collect());
    let tree = read("xtask/src/dist/tree.rs");
    for place in &tmpfiles {
        assert!(tree.contains(&format!("\"etc/aegisbpf/{place}\"")), "{place}");
    }
    assert!(tmpfiles.contains("suppressions.d"), "{tmpfiles:?}");
}

#[test]
fn the_unit_does_not_restart_what_an_operator_must_mend() {
    let unit = read("packaging/systemd/aegisbpf.service");
    let line = unit.lines().find(|line| line.starts_with("RestartPreventExitStatus=")).unwrap();
    let page = read("docs/reference/exit-codes.md");
    assert!(page.contains(&format!("`{line}`")), "{line} is not what the page on exit codes says");
}

/// Names of figures in a text.
fn figures(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("aegisbpf_")).collect()
}

#[test]
fn alerts_ask_only_for_figures_that_there_are_and_each_has_a_test() {
    let alerts = read("config/prometheus/alerts.yml");
    let page = read("docs/reference/metrics.md");
    let rows: String = page.lines().filter(|line| line.starts_with("| `aegisbpf_")).collect();
    let known = figures(&rows);
    let asked = figures(&alerts);
    assert!(asked.len() >= 2, "{asked:?}");
    assert_eq!(asked.difference(&known).count(), 0, "{asked:?} of {known:?}");
    let tests = read("config/prometheus/alerts.test.yml");
    for name in alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        let cases = tests.split("alertname: ").skip(1);
        let of_it: Vec<&str> = cases.filter(|case| case.lines().next() == Some(name)).collect();
        assert!(
            of_it.iter().any(|case| case.contains("exp_labels")),
            "no test in which {name} fires"
        );
    }
}

#[test]
fn names_that_readers_know_lead_to_files() {
    for path in [
        "packaging/apparmor/usr.bin.aegisbpf",
        "packaging/apparmor/quarantine",
        "packaging/selinux/aegisbpf.te",
        "packaging/selinux/aegisbpf.fc",
        "packaging/selinux/aegisbpf.if",
        "config/prometheus/alerts.yml",
    ] {
        assert!(sh::at(path).is_file(), "{path}");
    }
}
