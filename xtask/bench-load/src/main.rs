//! Does one kind of work many times. For each slice of it one line: `operations wall cpu`, the
//! last two in nanoseconds; `cpu` is the time of the processor that this process and its children
//! took, which others on the machine lengthen far less than the wall time.
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

use nix::sys::resource::{UsageWho, getrusage};

const USAGE: &str = "\
usage: bench-load [--slices S] LOAD     does the load S times (once), and prints a line for each
       bench-load open FILE N           open, read, close
       bench-load exec N [ARG-PREFIX]   start /bin/true and wait; ARG-PREFIX gets the number
       bench-load storm N THREADS       the same from several threads
       bench-load connect N             TCP connect, accept and close on loopback, in one thread
       bench-load run N PROGRAM ARG..   runs a program that does N operations";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (slices, load) = match args.as_slice() {
        ["--slices", slices, load @ ..] => (count(slices), load),
        load => (Ok(1), load),
    };
    let done = slices.and_then(|slices| (0..slices).try_for_each(|slice| timed(load, slice)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-load: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Does the load once and tells how long it took.
fn timed(load: &[&str], slice: u64) -> io::Result<()> {
    let (start, cpu) = (Instant::now(), cpu_time()?);
    let operations = work(load, slice)?;
    let (wall, cpu) = (start.elapsed().as_nanos(), cpu_time()?.saturating_sub(cpu));
    println!("{operations} {wall} {cpu}");
    Ok(())
}

fn work(load: &[&str], slice: u64) -> io::Result<u64> {
    match *load {
        ["open", file, n] => open(file, count(n)?),
        ["exec", n] => exec(count(n)?, None),
        ["exec", n, prefix] => exec(count(n)?, Some(prefix)),
        ["storm", n, threads] => storm(count(n)?, count(threads)?),
        ["connect", n] => connect(count(n)?, slice),
        ["run", n, program, ref args @ ..] => run(count(n)?, program, args),
        _ => Err(io::Error::other(USAGE)),
    }
}

/// Nanoseconds of processor time that we and the children that have ended took.
fn cpu_time() -> io::Result<u64> {
    let mut microseconds = 0;
    for who in [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN] {
        let usage = getrusage(who)?;
        for time in [usage.user_time(), usage.system_time()] {
            microseconds += time.tv_sec() * 1_000_000 + time.tv_usec();
        }
    }
    u64::try_from(microseconds * 1000).map_err(io::Error::other)
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

/// Each slice has an address of its own: closed connections keep their ports for a minute, and the
/// search for a free one would take longer and longer.
fn connect(n: u64, slice: u64) -> io::Result<u64> {
    let [.., high, low] = slice.to_be_bytes();
    let listener = TcpListener::bind((Ipv4Addr::new(127, 1, high, low), 0))?;
    let address = listener.local_addr()?;
    let mut accepted = 0;
    for _ in 0..n {
        let client = TcpStream::connect(address)?;
        let (server, from) = listener.accept()?;
        client.shutdown(Shutdown::Both)?;
        accepted += u64::from(from == client.local_addr()?);
        drop(server);
    }
    all(n, accepted, "connections accepted")
}

fn run(n: u64, program: &str, args: &[&str]) -> io::Result<u64> {
    let status = Command::new(program).args(args).stdout(Stdio::null()).status()?;
    if status.success() {
        return Ok(n);
    }
    Err(io::Error::other(format!("{program} ended with {status}")))
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
        assert_eq!(connect(4, 258).unwrap(), 4);
        assert_eq!(run(9, "/bin/true", &[]).unwrap(), 9);
        assert!(cpu_time().unwrap() > 0, "starting programs took some time");
    }

    #[test]
    fn a_shortfall_is_an_error() {
        let error = run(9, "/bin/false", &[]).unwrap_err();
        assert_eq!(error.to_string(), "/bin/false ended with exit status: 1");
        let error = all(3, 2, "programs succeeded").unwrap_err();
        assert_eq!(error.to_string(), "2 programs succeeded instead of 3");
        assert!(open("/no/such/file", 1).is_err());
    }

    #[test]
    fn shares_add_up() {
        assert_eq!((0..3).map(|i| share(10, 3, i)).sum::<u64>(), 10);
    }
}
