//! `aegisbpf post`: tells somebody elsewhere, for the guard. It runs as nobody, so what a server answers is
//! parsed without any privilege.
//!
//! The first line of standard input is the address, which is on no command line since it may hold a secret;
//! the second is the document.

use std::io::{BufRead, BufReader, Read};
use std::time::Duration;

use ureq::Agent;

use crate::exit::{Exit, Failure};
use crate::http;

/// Bytes of the input: less than a pipe holds.
const INPUT_MAX: u64 = 32 << 10;
/// How long is waited before the second try, and before the third.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];

/// Reads the input and sends it.
pub(crate) fn run() -> Result<Exit, Failure> {
    let mut input = BufReader::new(std::io::stdin().take(INPUT_MAX));
    let mut lines = [String::new(), String::new()];
    for line in &mut lines {
        input.read_line(line).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    }
    let [url, document] = lines;
    let agent = http::client(&http::native());
    let mut pauses = PAUSES.into_iter();
    loop {
        // An address with a secret must not get into the audit log by way of an error.
        let error = match send(&agent, url.trim(), document.trim()) {
            Ok(()) => return Ok(Exit::Ok),
            Err(error) => error,
        };
        match pauses.next().filter(|_| is_worth_another(&error)) {
            Some(pause) => std::thread::sleep(pause),
            None => return Err(Failure::new(Exit::Failed, http::shown(&error))),
        }
    }
}

fn send(agent: &Agent, url: &str, document: &str) -> Result<(), ureq::Error> {
    let answer = agent.post(url).content_type("application/json").send(document)?;
    // Without redirections to follow, one is an answer like others.
    if answer.status().is_redirection() { Err(ureq::Error::TooManyRedirects) } else { Ok(()) }
}

/// Whether it may be otherwise a moment later.
fn is_worth_another(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::StatusCode(code) => *code >= 500 || *code == 429,
        ureq::Error::Io(_)
        | ureq::Error::Timeout(_)
        | ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed => true,
        _ => false,
    }
}
