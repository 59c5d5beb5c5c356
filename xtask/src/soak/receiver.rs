//! The output: takes one alert with each POST, and refuses all while it is told to fail.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

/// Bytes of a request: an alert is some 10 KB.
const BODY_MAX: u64 = 4 << 20;
/// A sender that says nothing for so long has gone.
const SILENCE: Duration = Duration::from_mins(1);

/// What came.
#[derive(Debug, Default)]
struct Got {
    failing: AtomicBool,
    refused: AtomicU64,
    ids: Mutex<HashSet<String>>,
}

/// Listens for as long as this program runs.
#[derive(Debug)]
pub(super) struct Receiver {
    port: u16,
    got: Arc<Got>,
}

impl Receiver {
    pub(super) fn start() -> Result<Receiver> {
        let listener = TcpListener::bind("127.0.0.1:0").context("a port for the output")?;
        let port = listener.local_addr()?.port();
        let got = Arc::new(Got::default());
        let all = Arc::clone(&got);
        std::thread::spawn(move || {
            for stream in listener.incoming().filter_map(std::result::Result::ok) {
                let got = Arc::clone(&all);
                // Who breaks off tries again.
                std::thread::spawn(move || drop(serve(&stream, &got)));
            }
        });
        Ok(Receiver { port, got })
    }

    /// The address for `--forward`.
    pub(super) fn address(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    pub(super) fn fail(&self, failing: bool) {
        self.got.failing.store(failing, Ordering::Release);
    }

    /// Requests that were refused.
    pub(super) fn refused(&self) -> u64 {
        self.got.refused.load(Ordering::Acquire)
    }

    /// Which alerts came.
    pub(super) fn ids(&self) -> HashSet<String> {
        self.got.ids.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn serve(stream: &TcpStream, got: &Got) -> Result<()> {
    stream.set_read_timeout(Some(SILENCE))?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(number) = line.strip_prefix("content-length:") {
                length = number.trim().parse::<u64>()?.min(BODY_MAX);
            }
        }
        let mut body = Vec::new();
        reader.by_ref().take(length).read_to_end(&mut body)?;
        let answer = take(&body, got);
        let mut stream = stream;
        write!(stream, "HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n")?;
    }
}

fn take(body: &[u8], got: &Got) -> &'static str {
    if got.failing.load(Ordering::Acquire) {
        got.refused.fetch_add(1, Ordering::Release);
        return "503 Service Unavailable";
    }
    let document: Value = serde_json::from_slice(body).unwrap_or_default();
    if let Some(id) = document.pointer("/alert/id").and_then(Value::as_str) {
        got.ids.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned());
    }
    "200 OK"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_not_kept() {
        let got = Got::default();
        got.failing.store(true, Ordering::Release);
        assert!(take(br#"{"alert":{"id":"a"}}"#, &got).starts_with("503"));
        got.failing.store(false, Ordering::Release);
        assert_eq!(take(br#"{"alert":{"id":"b"}}"#, &got), "200 OK");
        let ids = got.ids.lock().unwrap();
        assert_eq!((ids.len(), ids.contains("b")), (1, true));
    }
}
