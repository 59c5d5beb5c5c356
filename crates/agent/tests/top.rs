//! `aegisbpf top` in a real terminal: a pair of pseudo-terminals, and what a VT100 would show.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::pty::{Winsize, openpty};
use serde_json::Value;

use crate::lab::{AGENT, Lab, root, until};

/// Whatever a busy machine needs.
const PATIENCE: Duration = Duration::from_mins(1);

/// A terminal with the program in it.
struct Terminal {
    child: Child,
    keys: File,
    screen: Arc<Mutex<vt100::Parser>>,
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn start(lab: &Lab, rows: u16, columns: u16, environment: &[(&str, &str)]) -> Terminal {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(&size, None).unwrap();
        let terminal = || Stdio::from(pair.slave.try_clone().unwrap());
        let mut command = Command::new(AGENT);
        command.arg("top").arg("--runtime-dir").arg(lab.path("run")).env("TERM", "xterm-256color");
        command.env_remove("NO_COLOR").envs(environment.iter().copied());
        let child =
            command.stdin(terminal()).stdout(terminal()).stderr(terminal()).spawn().unwrap();
        drop(pair.slave);
        let keys = File::from(pair.master);
        let mut output = keys.try_clone().unwrap();
        let screen = Arc::new(Mutex::new(vt100::Parser::new(rows, columns, 0)));
        let bytes = Arc::<Mutex<Vec<u8>>>::default();
        let (shown, all) = (Arc::clone(&screen), Arc::clone(&bytes));
        std::thread::spawn(move || {
            let mut some = [0; 4096];
            while let Ok(read @ 1..) = output.read(&mut some) {
                shown.lock().unwrap().process(&some[..read]);
                all.lock().unwrap().extend_from_slice(&some[..read]);
            }
        });
        Terminal { child, keys, screen, bytes }
    }

    fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    fn shows(&self, part: &str) {
        let end = std::time::Instant::now() + PATIENCE;
        while !self.text().contains(part) {
            assert!(std::time::Instant::now() < end, "`{part}` is not shown:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn an_alert_of_a_real_agent_stands_on_a_real_screen() {
    if !root("an_alert_of_a_real_agent_stands_on_a_real_screen") {
        return;
    }
    let lab = Lab::new();
    let agent = lab.start();
    let mut top = Terminal::start(&lab, 24, 80, &[]);
    top.shows("none yet");
    top.shows("Rules that cost most");
    let pid = lab.run_scratch("x");
    agent.alert(pid, PATIENCE).expect("the alert");
    top.shows(&format!("x ({pid})  high scratch"));
    let text = top.text();
    assert!(
        text.lines().count() <= 24 && text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
    let color = |top: &Terminal| {
        let bytes = top.bytes.lock().unwrap();
        let text = String::from_utf8_lossy(&bytes);
        // A sequence that sets the colour of letters: 31, or 38 with more behind it, and then `m`.
        text.split("\u{1b}[").any(|rest| {
            let (codes, _) = rest.split_once(|one: char| one.is_alphabetic()).unwrap_or((rest, ""));
            let is_style = rest[codes.len()..].starts_with('m');
            is_style && codes.split(';').any(|code| code == "38" || code == "31")
        })
    };
    assert!(color(&top), "what is bad is red");
    top.keys.write_all(b"q").unwrap();
    until("it ends", PATIENCE, || top.child.try_wait().unwrap().is_some());
    assert!(top.child.wait().unwrap().success());

    let plain = Terminal::start(&lab, 50, 132, &[("NO_COLOR", "1")]);
    plain.shows(&format!("x ({pid})  high scratch"));
    assert!(!color(&plain), "NO_COLOR");

    // Without a terminal it is said once.
    let once = lab.ask(&["top"]);
    let shown: Value = serde_json::from_slice(&once.stdout).unwrap();
    assert_eq!(shown["status"]["rules"]["loaded"], 1);
    assert!(shown["tree"].to_string().contains(&format!("x ({pid})")), "{}", shown["tree"]);
    assert!(shown["rates"]["events"].is_u64());
    assert!(agent.stop().success());
    plain.shows("no agent");
    assert_eq!(lab.ask(&["top"]).status.code(), Some(3));
}
