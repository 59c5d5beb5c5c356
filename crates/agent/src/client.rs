//! How commands reach a running agent: HTTP over its control socket.
//!
//! Requests are HTTP/1.0, so that an answer is simply all that follows its head until the
//! connection ends, and a stream is read line by line with nothing in between.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use serde_json::Value as Json;

use crate::exit::{Exit, Failure};
use crate::guard::runtime::{change_path, socket_path};
use crate::proto::{self, Policy, ProtoError, Reply, Request};

/// How long an answer may take to begin: the guard may have to attach sensors first.
const ANSWER_WAIT: Duration = Duration::from_secs(15);
/// How long it may take when programs that enforce are loaded first: verifying them is slow where the
/// CPU is.
const LOAD_WAIT: Duration = Duration::from_mins(2);
/// Seconds after which somebody who waits is told what for.
const QUIET: i64 = 2;
/// Longest head or line that is read; an event with all its arguments stays far below.
const LINE_MAX: u64 = 8 * 1024 * 1024;
/// Lines of a head.
const HEAD_MAX: usize = 64;

/// The body of an answer.
#[derive(Debug)]
pub(crate) struct Answer {
    reader: BufReader<UnixStream>,
    socket: String,
}

impl Answer {
    /// The next line without its end; `None` when the agent has ended the stream.
    pub(crate) fn line(&mut self) -> Result<Option<String>, Failure> {
        let line =
            read_line(&mut self.reader).map_err(|error| unreachable(&self.socket, &error))?;
        Ok(line.map(|line| line.trim_end().to_owned()))
    }

    /// The whole body as JSON.
    pub(crate) fn json(mut self) -> Result<Json, Failure> {
        let line = self.line()?.unwrap_or_default();
        serde_json::from_str(&line).map_err(|error| unreachable(&self.socket, &error))
    }

    /// Whether something has been read already that nobody took.
    pub(crate) fn has_bytes(&self) -> bool {
        !self.reader.buffer().is_empty()
    }

    /// Streams are quiet while nothing happens.
    pub(crate) fn wait_for_ever(&self) -> Result<(), Failure> {
        self.reader
            .get_ref()
            .set_read_timeout(None)
            .map_err(|error| unreachable(&self.socket, &error))
    }
}

/// The body as it comes.
impl Read for Answer {
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        self.reader.read(room)
    }
}

/// To wait for more of the body among other things.
impl AsFd for Answer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.get_ref().as_fd()
    }
}

/// Asks the agent of a runtime directory.
pub(crate) fn get(
    runtime_dir: &Path,
    path: &str,
    query: &[(&str, String)],
) -> Result<Answer, Failure> {
    ask(runtime_dir, "GET", &target(path, query), ANSWER_WAIT)
}

/// The same for an answer that needs the programs that enforce, which may have to be loaded first.
pub(crate) fn get_and_load(runtime_dir: &Path, path: &str) -> Result<Answer, Failure> {
    ask(runtime_dir, "GET", path, LOAD_WAIT)
}

/// Tells the agent of a runtime directory to do something.
pub(crate) fn post(runtime_dir: &Path, path: &str) -> Result<Answer, Failure> {
    ask(runtime_dir, "POST", path, ANSWER_WAIT)
}

/// The same with a query.
pub(crate) fn post_query(
    runtime_dir: &Path,
    path: &str,
    query: &[(&str, String)],
) -> Result<Answer, Failure> {
    ask(runtime_dir, "POST", &target(path, query), ANSWER_WAIT)
}

/// Asks the guard itself for something that only root may change.
pub(crate) fn change(runtime_dir: &Path, request: &Request) -> Result<Json, Failure> {
    let path = change_path(runtime_dir);
    let name = path.display().to_string();
    let failed = |error: Errno| unreachable(&name, &std::io::Error::from(error));
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None);
    let socket = socket.map_err(failed)?;
    let address = SocketAddrUnix::new(&path).map_err(failed)?;
    rustix::net::connect(&socket, &address).map_err(|error| refused(&name, &error.into()))?;
    // Who does not let go soon is not waited for.
    let is_quick = matches!(request, Request::Policy(_, Policy::Disable) | Request::Undo(..));
    let wait = if is_quick { ANSWER_WAIT } else { LOAD_WAIT };
    set_socket_timeout(&socket, Timeout::Recv, Some(wait)).map_err(failed)?;
    let lost = |error: ProtoError| unreachable(&name, &error);
    proto::send_request(&socket, request).map_err(lost)?;
    if wait > ANSWER_WAIT {
        say_why(&socket, wait).map_err(|error| unreachable(&name, &error))?;
    }
    let Reply::Policy(answer) = proto::receive_reply(&socket).map_err(lost)? else {
        return Err(unreachable(&name, &"it says something else"));
    };
    let answer: Json = serde_json::from_str(&answer).map_err(|error| unreachable(&name, &error))?;
    match answer.get("error").and_then(Json::as_str) {
        Some(reason) => Err(Failure::new(Exit::Failed, reason)),
        None => Ok(answer),
    }
}

fn ask(runtime_dir: &Path, method: &str, target: &str, wait: Duration) -> Result<Answer, Failure> {
    let socket = socket_path(runtime_dir);
    let name = socket.display().to_string();
    let stream = UnixStream::connect(&socket).map_err(|error| refused(&name, &error))?;
    let fail = |error: std::io::Error| unreachable(&name, &error);
    stream.set_read_timeout(Some(wait)).map_err(fail)?;
    match write!(&stream, "{method} {target} HTTP/1.0\r\nHost: agent\r\n\r\n") {
        // Who is turned away before he asks is told why all the same.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        written => written.map_err(fail)?,
    }
    if wait > ANSWER_WAIT {
        say_why(&stream, wait).map_err(fail)?;
    }
    let mut reader = BufReader::new(stream);
    let status = read_line(&mut reader).map_err(fail)?.unwrap_or_default();
    let status = status.split(' ').nth(1).unwrap_or_default().to_owned();
    for _ in 0..HEAD_MAX {
        let line = read_line(&mut reader).map_err(fail)?.unwrap_or_default();
        if line.trim_end().is_empty() {
            break;
        }
    }
    let mut answer = Answer { reader, socket: name };
    if status == "200" {
        return Ok(answer);
    }
    let body = answer.line()?.unwrap_or_default();
    Err(problem(&status, &body, &answer.socket))
}

/// Whoever waits for long is told what for.
fn say_why(stream: &impl AsFd, wait: Duration) -> std::io::Result<()> {
    let mut ready = [PollFd::new(stream, PollFlags::IN)];
    let quiet = Timespec { tv_sec: QUIET, tv_nsec: 0 };
    if rustix::io::retry_on_intr(|| poll(&mut ready, Some(&quiet)))? == 0 {
        let seconds = wait.as_secs();
        writeln!(
            anstream::stderr(),
            "the agent loads the programs that enforce and has the kernel verify them; at most \
             {seconds} s are waited for"
        )?;
    }
    Ok(())
}

fn read_line(reader: &mut BufReader<UnixStream>) -> std::io::Result<Option<String>> {
    let mut line = Vec::new();
    reader.take(LINE_MAX).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    Ok(Some(String::from_utf8_lossy(&line).into_owned()))
}

fn refused(socket: &str, error: &std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
            Failure::new(Exit::NotRunning, format!("no agent runs at {socket}"))
                .help("start one with `aegisbpf run`, or name its --runtime-dir")
        }
        ErrorKind::PermissionDenied => {
            Failure::new(Exit::Permission, format!("you may not use {socket}"))
                .help("run it with sudo; members of the group of `--group` may read")
        }
        _ => unreachable(socket, error),
    }
}

fn unreachable(socket: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Unreachable, format!("the agent at {socket} does not answer: {error}"))
        .help("it may be starting; its log says more")
}

/// What an answer that is not 200 means.
fn problem(status: &str, body: &str, socket: &str) -> Failure {
    let json: Json = serde_json::from_str(body).unwrap_or_default();
    let detail = json.get("detail").and_then(Json::as_str).unwrap_or("no reason given");
    match status {
        "400" => Failure::new(Exit::Usage, detail),
        "409" => Failure::new(Exit::Failed, detail),
        "422" => Failure::new(Exit::Config, detail),
        "403" => Failure::new(Exit::Permission, detail),
        "429" => Failure::new(Exit::Taken, detail)
            .help("end one of them, or try it again; `aegisbpf status` counts clients"),
        _ => unreachable(socket, &detail),
    }
}

/// The address with its query, everything but letters and digits escaped.
fn target(path: &str, query: &[(&str, String)]) -> String {
    let mut target = path.to_owned();
    for (index, (key, value)) in query.iter().enumerate() {
        target.push(if index == 0 { '?' } else { '&' });
        target.push_str(key);
        target.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() {
                target.push(byte.into());
            } else {
                target.extend(["%", &format!("{byte:02X}")]);
            }
        }
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_escaped() {
        let query = [("follow", "true".to_owned()), ("where", "a == \"ü\"&".to_owned())];
        assert_eq!(target("/v1/x", &query), "/v1/x?follow=true&where=a%20%3D%3D%20%22%C3%BC%22%26");
    }

    #[test]
    fn each_refusal_has_its_code() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(get(dir.path(), "/", &[]).unwrap_err().exit, Exit::NotRunning);
        drop(std::os::unix::net::UnixListener::bind(socket_path(dir.path())).unwrap());
        assert_eq!(get(dir.path(), "/", &[]).unwrap_err().exit, Exit::NotRunning, "nobody listens");
        let bad = problem("400", r#"{"detail":"there is no operation `x`"}"#, "s");
        assert_eq!(
            (bad.exit, bad.to_string().as_str()),
            (Exit::Usage, "there is no operation `x`")
        );
        assert_eq!(problem("422", "", "s").exit, Exit::Config);
        assert_eq!(problem("403", "", "s").exit, Exit::Permission);
        let full = problem("429", r#"{"detail":"8 clients read already"}"#, "s");
        assert_eq!(full.exit, Exit::Taken);
        let told = full.to_string();
        assert!(told.starts_with("8 clients read already") && !told.contains("starting"), "{told}");
        assert_eq!(problem("503", "{}", "s").exit, Exit::Unreachable);
    }
}
