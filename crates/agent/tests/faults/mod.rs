//! What is missing or breaks on a host while the agent runs: what goes on then, what is lost and where that is
//! counted, and that all is well again without a restart. The table for people is `docs/faults.md`.

mod clock;
mod containers;
mod disk;
mod kernel;
mod limits;

use std::fs;
use std::process::{Command, Output};

use nix::sys::signal::Signal;

use crate::lab::{Agent, signal, until};
use crate::metrics::{figures, sum};
use crate::prevention::{PATIENCE, Scene};

/// A scene whose policy is in force, with an output into a file beside it.
pub(crate) struct Enforced {
    pub(crate) scene: Scene,
    policy: String,
}

impl Enforced {
    pub(crate) fn new() -> Enforced {
        let scene = Scene::new();
        let policy = scene.policy("p.yaml", &scene.denying()).display().to_string();
        Enforced { scene, policy }
    }

    pub(crate) fn start(&self, more: &[&str]) -> Agent {
        self.scene.start(&[&["--enforce", "--policy", &self.policy][..], more].concat())
    }

    /// The same by another program, which starts what stands behind its own words; all is kept when it ends.
    pub(crate) fn start_by(&self, words: &[&str]) -> Agent {
        let agent = self.scene.lab.command();
        let (program, rest) = words.split_first().unwrap();
        let mut command = Command::new(program);
        command.args(rest).arg(agent.get_program()).args(agent.get_args());
        command.args(["--enforce", "--policy", &self.policy]);
        self.scene.lab.launch(command)
    }

    /// The process id of the worker.
    pub(crate) fn worker(&self) -> u32 {
        let status = self.scene.lab.status().unwrap();
        u32::try_from(status["worker"]["pid"].as_u64().unwrap()).unwrap()
    }

    /// Ends the worker the hard way, and waits for the next one.
    pub(crate) fn kill_worker(&self) {
        let worker = self.worker();
        signal(worker, Signal::SIGKILL);
        until("there is another worker", PATIENCE, || {
            self.scene.lab.status().is_some_and(|now| now["worker"]["pid"] != worker)
        });
    }

    /// What a figure is now, over its series with that label.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "they are counts")]
    pub(crate) fn figure(&self, name: &str, label: &str) -> u64 {
        sum(&figures(&self.scene.lab), name, label) as u64
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.scene.lab.path("log")).unwrap_or_default()
    }
}

/// Runs a program, which has to succeed.
pub(crate) fn done(program: &str, words: &[&str]) -> Output {
    let output = Command::new(program).args(words).output().unwrap();
    assert!(output.status.success(), "{program} {words:?}: {output:?}");
    output
}

/// What an agent that was killed leaves in the kernel does not outlive its test.
impl Drop for Enforced {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.log());
        }
        drop(self.scene.ask(&["emergency", "disable", "--reason", "the test ends"]));
    }
}
