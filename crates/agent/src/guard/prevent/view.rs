//! Whether what policies name is for this process what it is for the host: a service may be given directories of its
//! own, and a policy about those would deny what nobody else has, and nothing of what was meant.

use std::fs;
use std::path::Path;

use model::policy::Operation;
use policy::Tables;
use policy::marking::Marking;

use crate::guard::quarantine::Identity;

/// What service managers replace for one service alone (`PrivateTmp=`, `PrivateDevices=`, `ProtectHome=tmpfs` …).
const OWN: [&str; 6] = ["/tmp", "/var/tmp", "/dev", "/home", "/root", "/run/user"];
/// The tree as the first process of the host sees it.
const HOST: &str = "/proc/1/root";

/// Refuses policies about files that are others for the host.
pub(super) fn judge(tables: &Tables) -> Result<(), String> {
    let at = |root: &Path, path: &str| {
        let about = fs::metadata(root.join(path.trim_start_matches('/'))).ok()?;
        Some(Identity::of(&about))
    };
    let other = differs(tables, |path| at(Path::new("/"), path), |path| at(Path::new(HOST), path));
    other.map_or(Ok(()), |directory| {
        Err(format!(
            "policies are about files in {directory}, which is another directory for the agent than for the host: its \
             unit has PrivateTmp= or the like; take that away (`systemctl cat aegisbpf`)"
        ))
    })
}

/// The first directory that is another one here than there and that policies are about. Where the root is another
/// one, as in a container, all names are of that on purpose; what cannot be looked at there is taken to be the same.
fn differs(
    tables: &Tables,
    here: impl Fn(&str) -> Option<Identity>,
    there: impl Fn(&str) -> Option<Identity>,
) -> Option<&'static str> {
    let is_same = |path: &str| there(path).is_none_or(|there| here(path) == Some(there));
    if there("/").is_none() || !is_same("/") {
        return None;
    }
    let mut marking = Marking::new(tables, Operation::ALL);
    let others = OWN.into_iter().filter(|path| !is_same(path));
    others.into_iter().find(|path| marking.below(tables, path.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::load::looking;

    fn tables(files: &str) -> Tables {
        let text = format!(
            "apiVersion: aegisbpf.io/v1\nkind: Policy\nmetadata: {{name: p}}\nspec:\n  \
             rules: [{{id: a, deny: read, files: {files}}}]\n"
        );
        let loaded = lang::policy::load([("p.yaml".to_owned(), text)]);
        assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
        policy::compile(&loaded.policies, &looking()).unwrap().tables
    }

    /// One root for all, and a directory of our own.
    fn own(directory: &str) -> impl Fn(&str) -> Option<Identity> {
        move |path| Some(Identity { dev: 1, ino: if path == directory { 7 } else { 2 } })
    }

    #[test]
    fn policies_about_a_directory_that_only_we_have_are_refused() {
        let host = |_: &str| Some(Identity { dev: 1, ino: 2 });
        let tmp = tables("/tmp/kept/**");
        assert_eq!(differs(&tmp, own("/tmp"), host), Some("/tmp"));
        assert_eq!(differs(&tmp, host, host), None, "the control: nothing is replaced");
        assert_eq!(differs(&tmp, own("/home"), host), None, "and it is not about that");
        assert_eq!(differs(&tables("/etc/shadow"), own("/tmp"), host), None);
        let gone = |path: &str| host(path).filter(|_| path != "/root");
        assert_eq!(differs(&tables("/root/**"), gone, host), Some("/root"), "it is hidden from us");
    }

    #[test]
    fn a_container_has_names_of_its_own_and_what_cannot_be_seen_is_no_reason() {
        let tmp = tables("/tmp/kept/**");
        let container = |_: &str| Some(Identity { dev: 9, ino: 9 });
        assert_eq!(differs(&tmp, container, own("")), None);
        assert_eq!(differs(&tmp, own("/tmp"), |_: &str| None), None);
    }

    #[test]
    fn here_nothing_is_replaced() {
        assert_eq!(judge(&tables("['/tmp/**', '/home/**', '/root/**']")), Ok(()));
    }
}
