//! The tricks. A deed stops at its first error, which is what the process tells.

mod act;
pub(crate) mod cgroup;
mod device;
mod disk;
mod exec;
mod file;
pub(crate) mod hash;
mod interpreter;
mod layered;
pub(crate) mod made;
mod memory;
mod net;
mod passed;
mod reached;
mod subject;
mod write;

use std::io;
use std::path::Path;
use std::process::{ExitCode, Stdio};

use crate::lab::{CONFINED, COVERED, FREE, HASHED, LIMITED, STRICT};

/// No rule: what the file is could not be found out, so whom anything is denied to is refused.
pub(crate) const UNRESOLVED: &str = "unresolved";

/// One trick.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) area: &'static str,
    pub(crate) name: &'static str,
    /// The rule that must be told.
    pub(crate) rule: &'static str,
    /// Makes what the deed needs, by a process that no rule covers.
    pub(crate) prepare: fn(&Path) -> io::Result<()>,
    /// Before the policy is in force.
    pub(crate) early: bool,
    /// What the process gets as its standard input.
    pub(crate) given: Option<fn(&Path) -> io::Result<Stdio>>,
    pub(crate) deed: fn(&Path) -> io::Result<()>,
    /// Programs of the covered process and of the free one.
    pub(crate) actors: [&'static str; 2],
    /// Refused by silence: nothing comes, so the process tells that it waited for nothing.
    pub(crate) silent: bool,
    /// Why it is not tried on a host that has other things to do.
    pub(crate) guest: Option<&'static str>,
    /// Why only LSM programs deny it, although other ways of the same operation are denied without.
    pub(crate) beyond: Option<&'static str>,
}

impl Case {
    /// Area and name.
    pub(crate) fn id(&self) -> String {
        format!("{}/{}", self.area, self.name)
    }

    const fn new(
        area: &'static str,
        name: &'static str,
        rule: &'static str,
        deed: fn(&Path) -> io::Result<()>,
    ) -> Case {
        Case {
            area,
            name,
            rule,
            prepare: nothing,
            early: false,
            given: None,
            deed,
            actors: [COVERED, FREE],
            silent: false,
            guest: None,
            beyond: None,
        }
    }

    const fn after(mut self, prepare: fn(&Path) -> io::Result<()>) -> Case {
        self.prepare = prepare;
        self
    }

    const fn early(mut self, prepare: fn(&Path) -> io::Result<()>) -> Case {
        self.prepare = prepare;
        self.early = true;
        self
    }

    /// The covered process may run and map only what is listed.
    const fn limited(mut self) -> Case {
        self.actors = [LIMITED, FREE];
        self
    }

    /// The covered process may run only what is listed, and no interpreter is.
    const fn strict(mut self) -> Case {
        self.actors = [STRICT, FREE];
        self
    }

    /// The covered process may run only what has a hash that is listed.
    const fn hashed(mut self) -> Case {
        self.actors = [HASHED, FREE];
        self
    }

    /// The covered process may not act on the system, nor on other processes.
    const fn confined(mut self) -> Case {
        self.actors = [CONFINED, FREE];
        self.guest = Some("only LSM programs are asked, and the control changes the system");
        self
    }

    const fn silent(mut self) -> Case {
        self.silent = true;
        self
    }

    const fn guest(mut self, why: &'static str) -> Case {
        self.guest = Some(why);
        self
    }

    const fn beyond(mut self, why: &'static str) -> Case {
        self.beyond = Some(why);
        self
    }

    /// Both processes run this program: something else makes that one is covered.
    const fn by(mut self, program: &'static str) -> Case {
        self.actors = [program, program];
        self
    }

    const fn given(mut self, given: fn(&Path) -> io::Result<Stdio>) -> Case {
        self.given = Some(given);
        self
    }
}

#[expect(clippy::unnecessary_wraps, reason = "what most cases prepare")]
fn nothing(_: &Path) -> io::Result<()> {
    Ok(())
}

/// All cases.
pub(crate) fn all() -> impl Iterator<Item = &'static Case> {
    [
        file::CASES,
        layered::CASES,
        passed::CASES,
        disk::CASES,
        memory::CASES,
        write::CASES,
        device::CASES,
        exec::CASES,
        interpreter::CASES,
        hash::CASES,
        made::CASES,
        subject::CASES,
        net::CASES,
        reached::CASES,
        cgroup::CASES,
        act::CASES,
    ]
    .into_iter()
    .flatten()
}

/// Does the deed of a case and says what it came to.
pub(crate) fn perform(name: &str, directory: &Path) -> ExitCode {
    let Some(case) = all().find(|case| case.id() == name) else {
        println!("no such case");
        return ExitCode::from(2);
    };
    if let Err(error) = crate::lab::enter() {
        println!("{error}");
        return ExitCode::from(2);
    }
    match (case.deed)(directory) {
        Ok(()) => println!("ok"),
        Err(error) => match error.raw_os_error() {
            // Not built into this kernel: no case of ours.
            Some(libc_errno @ (19 | 38 | 95)) => println!("absent here (errno {libc_errno})"),
            Some(errno) => println!("errno {errno}"),
            None => println!("{error}"),
        },
    }
    ExitCode::SUCCESS
}
