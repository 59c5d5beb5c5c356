//! Isolation on the running kernel: real connections between two network namespaces of this test's own,
//! from a cgroup of its own. Needs root, and says so when it is skipped.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use kernel::isolate::{Isolation, Peer, now};
use nix::sched::{CloneFlags, setns};

/// A process in a cgroup is all of its threads: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());
/// What a byte may take that passes, on a busy machine and after packets were lost.
const PASSES: Duration = Duration::from_secs(20);
/// What a byte is given that must not pass.
const STOPPED: Duration = Duration::from_millis(700);
/// What the process that is killed puts: pins, cgroup, nanoseconds since boot.
const PUT: &str = "ISOLATE_PUT";

/// The one that is cut off, one that is stopped, one that is named.
const STOPS: &str = "10.99.0.2:7000";
const NAMED: &str = "10.99.0.3:7000";
const SIX_NAMED: &str = "[fd99::2]:7000";
const SIX_STOPS: &str = "[fd99::2]:7001";

/// Two network namespaces with a cable between them, and a cgroup.
struct World {
    near: Namespace,
    far: Namespace,
    cgroup: PathBuf,
    home: PathBuf,
    pins: PathBuf,
    _alone: MutexGuard<'static, ()>,
}

/// A network namespace, held by a process that sleeps in it.
struct Namespace {
    holder: Child,
    file: File,
}

impl Namespace {
    fn new() -> Namespace {
        let mut command = Command::new("unshare");
        let holder = command.args(["--net", "sleep", "600"]).stdin(Stdio::null()).spawn().unwrap();
        let (path, own) =
            (format!("/proc/{}/ns/net", holder.id()), fs::read_link("/proc/self/ns/net"));
        let own = own.unwrap();
        while fs::read_link(&path).unwrap() == own {
            std::thread::sleep(Duration::from_millis(5));
        }
        Namespace { file: File::open(path).unwrap(), holder }
    }

    fn ip(&self, words: &str) {
        let words = words.split(' ');
        let status = self.within(|| Command::new("ip").args(words).status().unwrap());
        assert!(status.success());
    }

    /// Does something there; sockets that it makes stay there.
    fn within<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let inside = || {
                setns(&self.file, CloneFlags::CLONE_NEWNET).unwrap();
                act()
            };
            scope.spawn(inside).join().unwrap()
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.holder.kill().unwrap();
        self.holder.wait().unwrap();
    }
}

impl World {
    /// None if the test cannot run.
    fn new(test: &str) -> Option<World> {
        if !nix::unistd::geteuid().is_root() {
            println!("SKIP {test}: needs root");
            return None;
        }
        let alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        let root = mounts.lines().find_map(|line| {
            let mut words = line.split(' ').skip(1);
            let point = words.next()?;
            (words.next() == Some("cgroup2")).then(|| PathBuf::from(point))
        });
        let root = root.unwrap();
        let home = fs::read_to_string("/proc/self/cgroup").unwrap();
        let home = home.lines().find_map(|line| line.strip_prefix("0::/")).unwrap();
        let name = format!("aegisbpf-isolate-{}", std::process::id());
        let cgroup = root.join(&name);
        fs::create_dir(&cgroup).unwrap();
        let (near, far) = (Namespace::new(), Namespace::new());
        near.ip(&format!("link add near type veth peer name far netns {}", far.holder.id()));
        near.ip("address add 10.99.0.1/24 dev near");
        near.ip("address add fd99::1/64 dev near nodad");
        far.ip("address add 10.99.0.2/24 dev far");
        far.ip("address add 10.99.0.3/24 dev far");
        far.ip("address add fd99::2/64 dev far nodad");
        for (namespace, device) in [(&near, "near"), (&near, "lo"), (&far, "far")] {
            namespace.ip(&format!("link set {device} up"));
        }
        let pins = Path::new("/sys/fs/bpf").join(name);
        let home = root.join(home);
        Some(World { near, far, cgroup, home, pins, _alone: alone })
    }

    /// What is done in the cgroup, on the near side.
    fn inside<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let own = std::process::id().to_string();
        fs::write(self.cgroup.join("cgroup.procs"), &own).unwrap();
        let done = self.near.within(act);
        fs::write(self.home.join("cgroup.procs"), own).unwrap();
        done
    }

    fn listen(&self, address: &str) -> TcpListener {
        self.far.within(|| TcpListener::bind(address).unwrap())
    }

    /// A connection from inside, both of its ends.
    fn connection(&self, to: &TcpListener) -> (TcpStream, TcpStream) {
        let address = to.local_addr().unwrap();
        let near = self.inside(|| TcpStream::connect_timeout(&address, PASSES).unwrap());
        (near, to.accept().unwrap().0)
    }

    fn tries(&self, address: &str, limit: Duration) -> Result<TcpStream, ErrorKind> {
        let address: SocketAddr = address.parse().unwrap();
        let connect = || TcpStream::connect_timeout(&address, limit);
        self.inside(connect).map_err(|error| error.kind())
    }

    fn put(&self, limit: Duration) -> Isolation {
        let peers: Vec<Peer> = ["10.99.0.3", SIX_NAMED].map(|peer| peer.parse().unwrap()).to_vec();
        let until = now() + u64::try_from(limit.as_nanos()).unwrap();
        Isolation::put(&self.pins, "test", Some(&self.cgroup), &peers, until).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if self.pins.exists() {
            fs::remove_dir_all(&self.pins).unwrap();
        }
        // A process that ended is in its cgroup for a moment longer.
        let start = Instant::now();
        while fs::remove_dir(&self.cgroup).is_err() && start.elapsed() < PASSES {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Whether a byte gets from one end to the other in time.
fn passes(from: &mut TcpStream, to: &mut TcpStream, limit: Duration) -> bool {
    from.write_all(b"x").unwrap();
    to.set_read_timeout(Some(limit)).unwrap();
    match to.read(&mut [0; 1]) {
        Ok(read) => read == 1,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock, "it waits, and nothing comes");
            false
        }
    }
}

fn talks((near, far): &mut (TcpStream, TcpStream)) -> bool {
    passes(near, far, PASSES) && passes(far, near, PASSES)
}

#[test]
fn only_named_peers_and_the_loopback_interface_are_reached() {
    let Some(world) = World::new("only_named_peers_and_the_loopback_interface_are_reached") else {
        return;
    };
    let [stops, named, six_named, six_stops] =
        [STOPS, NAMED, SIX_NAMED, SIX_STOPS].map(|address| world.listen(address));
    let own = world.inside(|| TcpListener::bind("127.0.0.1:0").unwrap());
    let all = [&stops, &named, &six_named, &six_stops, &own];
    let mut all = all.map(|listener| world.connection(listener));
    for one in &mut all {
        assert!(talks(one), "before, everything passes");
    }
    let isolation = world.put(Duration::from_mins(10));
    let [mut stopped, mut named, mut six, mut six_stopped, mut own] = all;
    let before = isolation.dropped().unwrap();
    assert!(!passes(&mut stopped.0, &mut stopped.1, STOPPED), "nothing goes out");
    let out = isolation.dropped().unwrap();
    assert!(out.egress > before.egress, "it was dropped, and not lost: {out:?}");
    assert!(!passes(&mut stopped.1, &mut stopped.0, STOPPED), "nothing comes in");
    let both = isolation.dropped().unwrap();
    assert!(both.ingress > out.ingress, "it was dropped, and not lost: {both:?}");
    assert!(!passes(&mut six_stopped.0, &mut six_stopped.1, STOPPED), "another port of a peer");
    for (one, what) in [(&mut named, "named"), (&mut six, "version 6"), (&mut own, "loopback")] {
        assert!(talks(one), "{what}");
    }
    let before = isolation.dropped().unwrap().egress;
    assert_eq!(world.tries(STOPS, STOPPED).unwrap_err(), ErrorKind::TimedOut);
    assert!(isolation.dropped().unwrap().egress > before);
    world.tries(NAMED, PASSES).unwrap();
    world.tries(SIX_NAMED, PASSES).unwrap();
    assert_eq!(world.tries(SIX_STOPS, STOPPED).unwrap_err(), ErrorKind::TimedOut);
    let outside = || TcpStream::connect_timeout(&STOPS.parse().unwrap(), PASSES).map(drop);
    world.near.within(outside).unwrap();
    isolation.lift().unwrap();
    assert!(talks(&mut stopped), "an old connection goes on");
    world.tries(STOPS, PASSES).unwrap();
    assert_eq!(fs::read_dir(&world.pins).unwrap().count(), 0, "nothing stays pinned");
}

#[test]
fn it_ends_at_its_time_though_who_put_it_was_killed() {
    let Some(world) = World::new("it_ends_at_its_time_though_who_put_it_was_killed") else {
        return;
    };
    let _listener = world.listen(STOPS);
    world.tries(STOPS, PASSES).unwrap();
    let length = Duration::from_secs(8);
    let until = now() + u64::try_from(length.as_nanos()).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["put_and_wait", "--exact", "--nocapture"]);
    let (pins, cgroup) = (world.pins.display(), world.cgroup.display());
    command.env(PUT, format!("{pins} {cgroup} {until}"));
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    while !world.pins.join("test/ingress").exists() && start.elapsed() < length {
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(200));
    child.kill().unwrap();
    child.wait().unwrap();
    let found = Isolation::found(&world.pins).unwrap();
    let [isolation] = found.as_slice() else { panic!("{found:?}") };
    assert!(isolation.name() == "test" && isolation.left().unwrap() <= length);
    assert_eq!(world.tries(STOPS, STOPPED).unwrap_err(), ErrorKind::TimedOut);
    assert!(isolation.dropped().unwrap().egress > 0);
    while !isolation.left().unwrap().is_zero() {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(world.pins.join("test/egress").exists(), "nobody took it away");
    world.tries(STOPS, PASSES).unwrap();
    assert_eq!(Isolation::found(&world.pins).unwrap().len(), 0);
    assert_eq!(fs::read_dir(&world.pins).unwrap().count(), 0, "what is over is taken away");
}

/// The process that is killed.
#[test]
fn put_and_wait() {
    let Ok(put) = std::env::var(PUT) else {
        println!("SKIP: a part of another test, which starts it");
        return;
    };
    let words: Vec<&str> = put.split(' ').collect();
    let [pins, cgroup, until] = words.as_slice() else { panic!("{put}") };
    let until = until.parse().unwrap();
    Isolation::put(Path::new(pins), "test", Some(Path::new(cgroup)), &[], until).unwrap();
    std::thread::sleep(Duration::from_mins(1));
}

#[test]
fn what_cannot_be_put_cuts_nobody_off() {
    let Some(world) = World::new("what_cannot_be_put_cuts_nobody_off") else {
        return;
    };
    let until = now() + 60_000_000_000;
    let many = vec![Peer::host("10.0.0.1".parse().unwrap()); 257];
    let put = |name: &str, cgroup: &Path, peers: &[Peer]| {
        let put = Isolation::put(&world.pins, name, Some(cgroup), peers, until);
        put.unwrap_err().to_string()
    };
    assert!(put("a.b", &world.cgroup, &[]).contains("no name"));
    assert!(put("test", &world.cgroup, &many).contains("the limit is 256"));
    let none = world.cgroup.join("none");
    assert!(put("test", &none, &[]).contains("open"));
    assert_eq!(Isolation::found(&world.pins).unwrap().len(), 0);
    let kept = world.put(Duration::from_mins(1));
    assert!(put("test", &world.cgroup, &[]).contains("create"), "the name is in use");
    assert!(!kept.left().unwrap().is_zero(), "the first one holds");
    kept.lift().unwrap();
}
