//! Who keeps a host running, and what each must be able to do.

use model::policy::Operation;

use crate::actor::{Actor, Identity};
use crate::compile::Compiled;
use crate::network::Endpoint;
use crate::tables::Labels;

/// Somebody that no policy may lock out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Who it is, for people.
    pub name: &'static str,
    /// The process.
    pub actor: Actor,
    /// What it does.
    pub needs: Vec<Need>,
}

/// One thing that a role must be able to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// What it does.
    pub operation: Operation,
    /// To what.
    pub target: Target,
}

/// What is done something to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A file.
    Path(String),
    /// A peer, or this side.
    Peer(Endpoint),
    /// Nothing in particular.
    Nothing,
}

impl Need {
    /// The labels of what it is about.
    pub fn labels(&self, compiled: &Compiled) -> Labels {
        match &self.target {
            Target::Path(path) => compiled.tables.label_path(path.as_bytes()),
            Target::Peer(peer) => compiled.tables.label_peer(peer, self.operation, &[]),
            Target::Nothing => Labels::default(),
        }
    }

    /// What it is about, for people; empty for nothing in particular.
    pub fn object(&self) -> String {
        match &self.target {
            Target::Path(path) => path.clone(),
            Target::Peer(peer) => format!("{} port {}", peer.address, peer.port),
            Target::Nothing => String::new(),
        }
    }
}

/// Where the agent keeps what it must be able to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Its executable.
    pub agent: String,
    /// Its policies.
    pub policies: String,
    /// Its state.
    pub state: String,
    /// The operator's shell.
    pub shell: String,
}

const INIT: &str = "/usr/lib/systemd/systemd";

fn files(operation: Operation, paths: &[&str]) -> Vec<Need> {
    let need = |path: &&str| Need { operation, target: Target::Path((*path).to_owned()) };
    paths.iter().map(need).collect()
}

fn nothing(operation: Operation) -> Need {
    Need { operation, target: Target::Nothing }
}

fn root(executable: &str, cgroup: &str, ancestors: &[&str]) -> Actor {
    Actor {
        executable: executable.to_owned(),
        user: Identity::root(),
        groups: vec![Identity::root()],
        cgroup: cgroup.to_owned(),
        ancestors: ancestors.iter().map(|path| (*path).to_owned()).collect(),
        ..Actor::default()
    }
}

/// What every program needs to start.
fn start() -> Vec<Need> {
    let mut needs = files(Operation::Read, &["/etc/ld.so.cache", "/etc/passwd"]);
    needs.extend(files(Operation::MapCode, &["/usr/lib/x86_64-linux-gnu/libc.so.6"]));
    needs
}

/// All roles of a host.
pub fn all(places: &Places) -> Vec<Role> {
    let mut roles = vec![agent(places), operator(places)];
    roles.extend([INIT, "/sbin/init"].map(init));
    roles.push(sshd(&places.shell));
    let debian = ["/usr/bin/dpkg", "/usr/bin/apt-get"];
    roles.extend(debian.map(|path| packages(path, "/var/lib/dpkg/status")));
    let others = ["/usr/bin/rpm", "/usr/bin/dnf"];
    roles.extend(others.map(|path| packages(path, "/var/lib/rpm/rpmdb.sqlite")));
    roles
}

fn agent(places: &Places) -> Role {
    let mut needs = start();
    let policy = format!("{}/local.yaml", places.policies);
    let state = format!("{}/active", places.state);
    needs.extend(files(Operation::Execute, &[&places.agent]));
    needs.extend(files(Operation::Read, &[&policy, &state, "/proc/1/stat"]));
    for operation in [Operation::Create, Operation::Write, Operation::Rename] {
        needs.extend(files(operation, &[&state]));
    }
    needs.push(nothing(Operation::Bpf));
    let actor = root(&places.agent, "/system.slice/aegisbpf.service", &[INIT]);
    Role { name: "the agent itself", actor, needs }
}

fn operator(places: &Places) -> Role {
    let mut needs = start();
    let policy = format!("{}/local.yaml", places.policies);
    needs.extend(files(Operation::Execute, &[&places.shell, "/usr/bin/sudo", &places.agent]));
    needs.extend(files(Operation::Read, &["/dev/tty", &policy]));
    needs.extend(files(Operation::Write, &["/dev/tty", &policy]));
    let session = "/user.slice/user-0.slice/session-1.scope";
    let mut actor = root(&places.shell, session, &[INIT, "/usr/sbin/sshd"]);
    actor.login = true;
    Role { name: "the operator's own shell", actor, needs }
}

fn init(executable: &str) -> Role {
    let mut needs = start();
    let programs = ["/usr/sbin/agetty", "/usr/sbin/sshd", "/bin/sh"];
    needs.extend(files(Operation::Execute, &programs));
    needs.extend(files(Operation::Read, &["/etc/systemd/system/default.target", "/etc/fstab"]));
    needs.extend(files(Operation::Write, &["/run/systemd/notify", "/sys/fs/cgroup/cgroup.procs"]));
    needs.extend(files(Operation::Mount, &["/run/user/0"]));
    needs.extend([Operation::Signal, Operation::Namespace, Operation::Bpf].map(nothing));
    Role { name: "init", actor: root(executable, "/init.scope", &[]), needs }
}

fn sshd(shell: &str) -> Role {
    let mut needs = start();
    needs.extend(files(Operation::Execute, &["/usr/sbin/sshd", shell]));
    needs.extend(files(Operation::Read, &["/etc/ssh/sshd_config", "/etc/shadow"]));
    needs.extend(files(Operation::Read, &["/etc/ssh/ssh_host_ed25519_key", "/etc/pam.d/sshd"]));
    let endpoint = |address: [u8; 4], port| {
        Target::Peer(Endpoint { address: address.into(), port, protocol: TCP })
    };
    for operation in [Operation::Bind, Operation::Listen] {
        needs.push(Need { operation, target: endpoint([0; 4], SSH) });
    }
    needs.push(Need { operation: Operation::Accept, target: endpoint(ANYBODY, EPHEMERAL) });
    let actor = root("/usr/sbin/sshd", "/system.slice/ssh.service", &[INIT]);
    Role { name: "sshd", actor, needs }
}

/// TCP.
const TCP: u16 = 6;
/// The port of SSH.
const SSH: u16 = 22;
/// A peer that nobody means in particular: an address for documents.
const ANYBODY: [u8; 4] = [198, 51, 100, 7];
/// A port that the system picks.
const EPHEMERAL: u16 = 50_000;

fn packages(executable: &str, database: &str) -> Role {
    let mut needs = start();
    needs.extend(files(Operation::Execute, &["/bin/sh"]));
    let changed = ["/usr/bin/some-program", "/usr/lib/x86_64-linux-gnu/libsome.so.1", database];
    for operation in [Operation::Create, Operation::Write, Operation::Rename, Operation::Delete] {
        needs.extend(files(operation, &changed));
    }
    let actor = root(executable, "/user.slice/user-0.slice/session-1.scope", &[INIT]);
    Role { name: "the package manager", actor, needs }
}
