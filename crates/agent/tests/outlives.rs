//! What is denied while the agent, or a part of it, is killed, stopped, ended and started again.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::lab::{root, signal, until};
use crate::policies::document;
use crate::prevention::{PATIENCE, Scene};

/// Takes away what an agent of a test left in the kernel.
struct Left<'a>(&'a Scene);

impl Drop for Left<'_> {
    fn drop(&mut self) {
        drop(self.0.ask(&["emergency", "disable", "--reason", "the test ends"]));
    }
}

#[test]
fn what_is_kept_outlives_the_agent_and_the_next_one_goes_on_with_it() {
    if !root("what_is_kept_outlives_the_agent_and_the_next_one_goes_on_with_it") {
        return;
    }
    let scene = Scene::new();
    let left = Left(&scene);
    let file = scene.policy("p.yaml", &scene.denying());
    let options = ["--enforce", "--policy", file.to_str().unwrap()];
    // Somebody who tries all the time finds no gap, whatever becomes of the agent.
    let tries = Tries::start(&scene);
    let agent = scene.start_to(&options);
    assert!(scene.is_denied());
    let begun = tries.denied_from_now();
    let worker = scene.lab.status().unwrap()["worker"]["pid"].as_u64().unwrap();
    signal(u32::try_from(worker).unwrap(), Signal::SIGKILL);
    assert!(scene.is_denied(), "without a worker");
    agent.kill();
    assert!(scene.is_denied(), "without an agent");
    let agent = scene.start_to(&options);
    assert!(scene.is_denied());
    assert_eq!(scene.show()["agent"]["in_kernel"]["is_what_was_given"], true);
    for signal_now in [Signal::SIGSTOP, Signal::SIGCONT] {
        signal(agent.guard(), signal_now);
        assert!(scene.is_denied(), "{signal_now}");
    }
    assert!(agent.stop().success());
    assert!(scene.is_denied(), "after a clean end");
    let (tried, open) = tries.stop(begun);
    println!("{tried} tries, {open} of them open");
    assert_eq!(open, 0);
    assert!(tried > 10, "{tried}");
    // By the same command, without an agent.
    drop(left);
    assert!(!scene.is_denied());
}

#[test]
fn files_are_open_from_the_end_of_the_agent_until_the_next_one_guards() {
    if !root("files_are_open_from_the_end_of_the_agent_until_the_next_one_guards") {
        return;
    }
    let scene = Scene::new();
    let _left = Left(&scene);
    // Who opens a file right beside it waits, too.
    fs::create_dir(scene.lab.path("kept")).unwrap();
    let (program, secret) = (scene.lab.path("x"), scene.lab.path("kept/secret"));
    fs::write(&secret, "a secret\n").unwrap();
    let spec = format!(
        "  rules: [{{id: secret, subject: {{executable: {}}}, deny: read, files: {}}}]\n",
        program.display(),
        secret.display()
    );
    let file = scene.policy("p.yaml", &document("scratch", &spec));
    let options = ["--enforce", "--policy", file.to_str().unwrap()];
    let script = format!("read line < {}", secret.display());
    let denied =
        || !Command::new(&program).args(["-c", &script]).output().unwrap().status.success();
    let agent = scene.start_to(&options);
    assert!(denied());
    let begin = std::time::Instant::now();
    agent.kill();
    until("files are open", PATIENCE, || !denied());
    until("its worker has ended, too", PATIENCE, || scene.lab.status().is_none());
    let agent = scene.start_to(&options);
    println!("a killed guard left files open for {:?}", begin.elapsed());
    assert!(denied(), "from when it answers");
    // One that is stopped keeps who asks waiting until it goes on.
    signal(agent.guard(), Signal::SIGSTOP);
    let mut waits = Command::new(&program).args(["-c", &script]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert!(waits.try_wait().unwrap().is_none(), "it waits");
    signal(agent.guard(), Signal::SIGCONT);
    assert!(!waits.wait().unwrap().success(), "and is denied then");
    assert!(agent.stop().success());
}

/// A program that connects again and again.
struct Tries {
    results: Arc<Mutex<Vec<bool>>>,
    done: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Tries {
    fn start(scene: &Scene) -> Tries {
        let (results, done) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (into, end) = (Arc::clone(&results), Arc::clone(&done));
        let (program, port) = (scene.lab.path("x"), scene.port);
        let thread = std::thread::spawn(move || {
            let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port}");
            while !end.load(Ordering::Relaxed) {
                let tried = Command::new(&program).args(["-c", &script]).output().unwrap();
                into.lock().unwrap().push(tried.status.success());
            }
        });
        Tries { results, done, thread }
    }

    /// The number of the next try that begins after this moment.
    fn denied_from_now(&self) -> usize {
        self.results.lock().unwrap().len() + 1
    }

    /// Tries since then, and those of them that went through.
    fn stop(self, from: usize) -> (usize, usize) {
        self.done.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        let results = self.results.lock().unwrap();
        let since = results.get(from..).unwrap_or_default();
        (since.len(), since.iter().filter(|open| **open).count())
    }
}
