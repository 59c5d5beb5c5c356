//! `aegisbpf metrics`: the figures of the running agent, printed, in a file, or at an address for Prometheus.
//!
//! The agent itself opens no port. Whoever wants one runs this beside it: it asks the control socket for each
//! request, knows nothing else, and can be confined to just that.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use tempfile::NamedTempFile;

use crate::cli::metrics::MetricsArgs;
use crate::client;
use crate::exit::{Exit, Failure};
use crate::metrics::{CONTENT_TYPE, page};

/// Bytes of a request that are read: Prometheus sends some hundred.
const REQUEST_MAX: u64 = 8 * 1024;
/// How long one who asks may take to ask, and to read: others wait meanwhile.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of the figures: a thousand rules are some hundred KiB.
const TEXT_MAX: u64 = 16 * 1024 * 1024;

/// Shows, writes or serves them.
pub(crate) fn run(args: &MetricsArgs) -> Result<Exit, Failure> {
    if args.list {
        write!(anstream::stdout(), "{}", page())?;
        return Ok(Exit::Ok);
    }
    if let Some(address) = args.listen {
        if !address.ip().is_loopback() && !args.public {
            let message =
                format!("{address} is open to other hosts, and has neither password nor TLS");
            return Err(Failure::new(Exit::Usage, message)
                .help("give 127.0.0.1 or ::1, or say --public if something else guards it"));
        }
        return serve(&args.runtime_dir, address);
    }
    let text = read(&args.runtime_dir)?;
    match &args.file {
        Some(file) => put(file, &text)?,
        None => write!(anstream::stdout(), "{text}")?,
    }
    Ok(Exit::Ok)
}

/// The figures now.
fn read(runtime_dir: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let answer = client::get(runtime_dir, "/v1/metrics", &[])?;
    let read = answer.take(TEXT_MAX).read_to_string(&mut text);
    read.map_err(|error| {
        Failure::new(Exit::Failed, format!("the agent stopped talking: {error}"))
    })?;
    Ok(text)
}

/// Nobody sees half a file: it is written beside its place and renamed.
fn put(file: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(Exit::Failed, format!("cannot write {}: {error}", file.display()))
    };
    let beside = file.parent().filter(|dir| !dir.as_os_str().is_empty());
    let mut new = NamedTempFile::new_in(beside.unwrap_or(Path::new("."))).map_err(failed)?;
    new.write_all(text.as_bytes()).map_err(failed)?;
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    new.as_file().set_permissions(readable).map_err(failed)?;
    new.persist(file).map(drop).map_err(|error| failed(error.error))
}

/// Answers one after the other.
fn serve(runtime_dir: &Path, address: SocketAddr) -> Result<Exit, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(Exit::Failed, format!("cannot listen at {address}: {error}"))
    };
    let listener = TcpListener::bind(address).map_err(failed)?;
    let at = listener.local_addr().map_err(failed)?;
    writeln!(anstream::stdout(), "http://{at}/metrics")?;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                if let Err(error) = answer(runtime_dir, &stream) {
                    tracing::debug!(%error, "somebody asked and left");
                }
            }
            // Descriptors may be short for a moment; who waits is not lost.
            Err(error) if error.kind() != ErrorKind::ConnectionAborted => {
                tracing::warn!(%error, "nobody can be let in");
                std::thread::sleep(PATIENCE);
            }
            Err(_) => {}
        }
    }
}

/// Answers one request; the connection ends with it.
fn answer(runtime_dir: &Path, stream: &TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(stream.take(REQUEST_MAX)).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    // All of it is read: who is hung up on before he has said everything hears nothing.
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let mut words = request.split(' ');
    let (status, kind, body) = match (words.next(), words.next()) {
        (Some("GET"), Some("/metrics")) => match read(runtime_dir) {
            Ok(text) => ("200 OK", CONTENT_TYPE, text),
            Err(failure) => ("503 Service Unavailable", "text/plain", format!("{failure}\n")),
        },
        (Some("GET"), Some(_)) => ("404 Not Found", "text/plain", "look at /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", "text/plain", "only GET\n".to_owned()),
    };
    let length = body.len();
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an address says to these bytes.
    fn said(request: &[u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (stream, _) = listener.accept().unwrap();
                // No agent is there.
                drop(answer(Path::new("/nonexistent"), &stream));
            });
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(request).unwrap();
            let mut text = String::new();
            drop(stream.read_to_string(&mut text));
            text
        })
    }

    #[test]
    fn only_the_figures_are_there_to_be_asked_for() {
        let gone = said(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(gone.starts_with("HTTP/1.1 503 ") && gone.contains("no agent"), "{gone}");
        assert!(said(b"GET /v1/status HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
        assert!(said(b"POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
        assert!(said(b"\xff\xfe\r\n\r\n").is_empty(), "no HTTP");
    }

    #[test]
    fn a_request_without_an_end_is_not_read_for_ever() {
        let long = vec![b'x'; 64 * 1024];
        assert!(said(&long).len() < 200);
    }

    #[test]
    fn other_hosts_are_let_in_only_if_that_is_said() {
        let args = |public| MetricsArgs {
            runtime_dir: "/nonexistent".into(),
            listen: Some("0.0.0.0:0".parse().unwrap()),
            public,
            file: None,
            list: false,
        };
        let refused = run(&args(false)).unwrap_err();
        assert_eq!(refused.exit, Exit::Usage);
        assert!(refused.to_string().contains("--public"), "{refused}");
    }
}
