//! Each command as people run it: every option and form of output.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod check;
mod convert;
mod explain;
mod fields;
mod fmt;
mod pack;
mod replay;
mod streams;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// A directory with files, and what commands print there.
struct Place(tempfile::TempDir);

/// How a command ended.
struct Done {
    code: i32,
    out: String,
    err: String,
}

impl Place {
    fn with(files: &[(&str, &str)]) -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        for (name, text) in files {
            let path = place.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        place
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kestrel"));
        command.args(args).current_dir(self.path());
        for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "TERM"] {
            command.env_remove(name);
        }
        command
    }

    fn kestrel(&self, args: &[&str]) -> Done {
        self.fed(args, "")
    }

    /// With a text on standard input.
    fn fed(&self, args: &[&str], input: &str) -> Done {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that reads nothing closes the pipe: that is no fault.
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        let done = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Done { code: done.status.code().unwrap(), out: text(done.stdout), err: text(done.stderr) }
    }
}

impl Done {
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("{}{}", self.out, self.err))
    }
}

/// A rule of our own with that id and query, and tests of one alert and none.
fn rule(id: &str, query: &str) -> String {
    format!(
        "[[rule]]\nid = \"{id}\"\nname = \"Rule {id}\"\ndescription = \"D.\"\nseverity = \"low\"\n\
         query = '''\n{query}\n'''\n[[rule.test]]\nname = \"yes\"\nalert = true\nevent = {{ \
         event.category = \"process\", event.action = \"exec\", process.name = \"nc\" }}\n\
         [[rule.test]]\nname = \"no\"\nalert = false\nevent = {{ event.category = \"process\", \
         event.action = \"exec\", process.name = \"cat\" }}\n"
    )
}

/// A sound one.
const QUERY: &str = "process where event.action == \"exec\" and process.name == \"nc\"";

/// A rule of Sigma.
const SIGMA: &str = "\
title: Netcat
id: 5f0e2f1c-7a52-4a0e-9c5c-0a4f7c1b2d3e
author: A. Nonymous
license: DRL 1.1
level: high
tags: [attack.execution, attack.t1059.004]
logsource: {product: linux, category: process_creation}
detection:
  s:
    Image|endswith: /nc
  condition: s
";
