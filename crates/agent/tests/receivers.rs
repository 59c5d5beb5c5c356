//! Receivers of alerts, as they come from Debian, and the least that speaks HTTP.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::lab::{Lab, signal, until};

/// Whatever a busy machine needs.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A program that ends with this value.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Running {
        Running(command.stdin(Stdio::null()).spawn().unwrap())
    }

    /// Asks it to end, and waits.
    pub(crate) fn stop(mut self) {
        signal(self.0.id(), nix::sys::signal::Signal::SIGTERM);
        self.0.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }
}

/// A port of this host that nobody has.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Writes each body of a POST as a line, with the key that says which it is; the first argument is the port.
pub(crate) const HOOK: &str = "import http.server, sys, time
class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length'])).decode()
        with open(sys.argv[2], 'a') as out:
            out.write(self.headers.get('Authorization', '-') + ' ' + body.replace('\\n', ' ') + '\\n')
        time.sleep(float(sys.argv[3])); self.send_response(200); self.end_headers(); self.wfile.write(b'{}')
    def log_message(self, *args): pass
http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), Hook).serve_forever()";

/// The same, after which many seconds it answers.
pub(crate) fn hook(port: u16, out: &Path, pause: f64) -> Running {
    Running::start(
        Command::new("python3")
            .args(["-c", HOOK, &port.to_string()])
            .arg(out)
            .arg(pause.to_string()),
    )
}

/// Certificates of a receiver that calls itself `localhost`.
pub(crate) fn certificate(lab: &Lab) -> (PathBuf, PathBuf) {
    let (cert, key) = (lab.path("cert.pem"), lab.path("key.pem"));
    let mut openssl = Command::new("openssl");
    openssl.args("req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -days 2".split(' '));
    openssl.args(["-addext", "subjectAltName=DNS:localhost"]);
    openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    let made = openssl.arg("-out").arg(&cert).arg("-keyout").arg(&key).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    (cert, key)
}

/// rsyslog with one input, which writes what it parsed: who says so, our part of the message, and the message.
pub(crate) fn rsyslog(lab: &Lab, input: &str, out: &Path) -> Running {
    let text = format!(
        "global(workDirectory=\"{}\" maxMessageSize=\"256k\")\n{input}\n\
         template(name=\"T\" type=\"string\" string=\"%app-name% %syslogseverity-text% %structured-data% %msg%\\n\")\n\
         action(type=\"omfile\" file=\"{}\" template=\"T\")\n",
        lab.path("").display(),
        out.display(),
    );
    fs::write(lab.path("rsyslog.conf"), text).unwrap();
    let mut command = Command::new("/usr/sbin/rsyslogd");
    command
        .arg("-n")
        .arg("-f")
        .arg(lab.path("rsyslog.conf"))
        .arg("-i")
        .arg(lab.path("rsyslog.pid"));
    Running::start(command.stderr(fs::File::create(lab.path("rsyslog.log")).unwrap()))
}

/// A journald of its own, with its own place below /run, both taken away with this value.
pub(crate) struct Journal {
    pub(crate) name: String,
    pub(crate) running: Option<Running>,
}

impl Journal {
    pub(crate) fn directory(&self) -> PathBuf {
        PathBuf::from(format!("/run/systemd/journal.{}", self.name))
    }

    pub(crate) fn start(&mut self) {
        fs::create_dir_all(self.directory()).unwrap();
        let mut command = Command::new("/lib/systemd/systemd-journald");
        command.arg(&self.name).env("RUNTIME_DIRECTORY", self.directory());
        self.running = Some(Running::start(command.stderr(Stdio::null())));
        let socket = self.directory().join("socket");
        until("journald listens", PATIENCE, || {
            std::os::unix::net::UnixDatagram::unbound().unwrap().connect(&socket).is_ok()
        });
    }

    /// Entries of the agent, as journalctl reads them.
    pub(crate) fn entries(&self) -> Vec<Value> {
        let mut command = Command::new("journalctl");
        command.arg(format!("--namespace={}", self.name)).args([
            "-o",
            "json",
            "--no-pager",
            "--all",
        ]);
        let output = command.arg("SYSLOG_IDENTIFIER=aegisbpf").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.running = None;
        let machine = fs::read_to_string("/etc/machine-id").unwrap_or_default();
        let logs = format!("/run/log/journal/{}.{}", machine.trim(), self.name);
        for place in [self.directory(), logs.into()] {
            drop(fs::remove_dir_all(place));
        }
    }
}

/// Asks a NATS server, in its own protocol.
pub(crate) fn nats(port: u16, subject: &str, payload: &str) -> Option<Value> {
    use std::io::{BufRead, BufReader, Write};
    let stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let words = format!(
        "CONNECT {{}}\r\nSUB answer 1\r\nPUB {subject} answer {}\r\n{payload}\r\n",
        payload.len()
    );
    (&stream).write_all(words.as_bytes()).unwrap();
    while !lines.next()?.ok()?.starts_with("MSG answer") {}
    serde_json::from_str(&lines.next()?.ok()?).ok()
}

pub(crate) fn nats_server(lab: &Lab, port: u16) -> Running {
    let mut command = Command::new("nats-server");
    command.args(["-js", "-a", "127.0.0.1", "-p", &port.to_string(), "-sd"]).arg(lab.path("nats"));
    let server = Running::start(command.stderr(Stdio::null()));
    until("NATS answers", PATIENCE, || nats(port, "$JS.API.INFO", "").is_some());
    server
}

pub(crate) fn base64(text: &str) -> String {
    use std::io::Write;
    let mut decode = Command::new("base64")
        .arg("-d")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    decode.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    String::from_utf8(decode.wait_with_output().unwrap().stdout).unwrap()
}
