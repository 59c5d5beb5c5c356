//! Does one kind of work many times and prints `operations nanoseconds`.
//!
//! It checks that the work was really done: a benchmark of nothing looks very fast.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for the command line")]

use std::fs::File;
use std::io::{self, Read};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Instant;

const USAGE: &str = "\
usage: bench-load open FILE N           open, read, close
       bench-load exec N [ARG-PREFIX]   start /bin/true and wait; ARG-PREFIX gets the number
       bench-load storm N THREADS       the same from several threads
       bench-load connect N             TCP connect and close on loopback";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let start = Instant::now();
    let done = match *args.as_slice() {
        ["open", file, n] => count(n).and_then(|n| open(file, n)),
        ["exec", n] => count(n).and_then(|n| exec(n, None)),
        ["exec", n, prefix] => count(n).and_then(|n| exec(n, Some(prefix))),
        ["storm", n, threads] => count(n).and_then(|n| storm(n, count(threads)?)),
        ["connect", n] => count(n).and_then(connect),
        _ => Err(io::Error::other(USAGE)),
    };
    match done {
        Ok(operations) => {
            println!("{operations} {}", start.elapsed().as_nanos());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench-load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn count(text: &str) -> io::Result<u64> {
    text.parse().map_err(|_| io::Error::other(format!("`{text}` is not a number\n{USAGE}")))
}

/// An error unless as much was done as was asked for.
fn all(wanted: u64, done: u64, what: &str) -> io::Result<u64> {
    if done == wanted {
        return Ok(done);
    }
    Err(io::Error::other(format!("{done} {what} instead of {wanted}")))
}

fn open(path: &str, n: u64) -> io::Result<u64> {
    let size = std::fs::metadata(path)?.len();
    let mut buffer = [0; 4096];
    let mut bytes = 0;
    for _ in 0..n {
        let read = File::open(path)?.read(&mut buffer)?;
        bytes += u64::try_from(read).map_err(io::Error::other)?;
    }
    let expected = size.min(4096) * n;
    all(expected, bytes, "bytes read")?;
    Ok(n)
}

fn exec(n: u64, prefix: Option<&str>) -> io::Result<u64> {
    let mut done = 0;
    for i in 0..n {
        let mut command = Command::new("/bin/true");
        command.args(prefix.map(|prefix| format!("{prefix}{i}"))).stdin(Stdio::null());
        done += u64::from(command.status()?.success());
    }
    all(n, done, "programs succeeded")
}

fn storm(n: u64, threads: u64) -> io::Result<u64> {
    let workers: Vec<_> =
        (0..threads).map(|i| thread::spawn(move || exec(share(n, threads, i), None))).collect();
    let mut done = 0;
    for worker in workers {
        done += worker.join().map_err(|_| io::Error::other("a thread panicked"))??;
    }
    all(n, done, "programs succeeded")
}

/// How much of `n` the `i`-th of `parts` does, so that nothing is left over.
fn share(n: u64, parts: u64, i: u64) -> u64 {
    n / parts + u64::from(i < n % parts)
}

fn connect(n: u64) -> io::Result<u64> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let server = thread::spawn(move || {
        let mut accepted = 0;
        while accepted < n && listener.accept().is_ok() {
            accepted += 1;
        }
        accepted
    });
    for _ in 0..n {
        TcpStream::connect(address)?.shutdown(Shutdown::Both)?;
    }
    let accepted = server.join().map_err(|_| io::Error::other("the server panicked"))?;
    all(n, accepted, "connections accepted")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_load_does_what_was_asked() {
        assert_eq!(open("/proc/self/cmdline", 0).unwrap(), 0);
        assert_eq!(open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"), 7).unwrap(), 7);
        assert_eq!(exec(3, Some("mark-")).unwrap(), 3);
        assert_eq!(storm(5, 2).unwrap(), 5);
        assert_eq!(connect(4).unwrap(), 4);
    }

    #[test]
    fn a_shortfall_is_an_error() {
        let error = all(3, 2, "programs succeeded").unwrap_err();
        assert_eq!(error.to_string(), "2 programs succeeded instead of 3");
        assert!(open("/no/such/file", 1).is_err());
    }

    #[test]
    fn shares_add_up() {
        assert_eq!((0..3).map(|i| share(10, 3, i)).sum::<u64>(), 10);
    }
}
