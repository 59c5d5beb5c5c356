//! The console asked over a real connection, where no agent runs.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::*;
use crate::cli::policy::Dirs;

/// A console at a port of its own, for as long as the tests run.
struct Served {
    at: SocketAddr,
    console: Arc<Console>,
}

fn serve(allow_changes: bool) -> Served {
    let nowhere = std::path::PathBuf::from("/nonexistent");
    let args = ConsoleArgs {
        listen: "127.0.0.1:0".parse().unwrap(),
        allow_changes,
        policy: Vec::new(),
        dirs: Dirs { state_dir: nowhere.clone(), runtime_dir: nowhere },
    };
    let secrets = Secrets::new().unwrap();
    let console = Arc::new(Console { args, secrets, last: Mutex::new(None) });
    let (told, at) = std::sync::mpsc::channel();
    let served = Arc::clone(&console);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (listener, at) = serve::Listener::bind(&served.args.listen).unwrap();
            told.send(at).unwrap();
            listener.serve(router(served)).await;
        });
    });
    let at = at.recv().unwrap().trim_start_matches("http://").parse().unwrap();
    Served { at, console }
}

impl Served {
    /// What is said to these bytes.
    fn said(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.at).unwrap();
        // Who says too much is hung up on before the end.
        drop(stream.write_all(request));
        let mut text = String::new();
        drop(stream.read_to_string(&mut text));
        text
    }

    /// The cookie, got as a browser gets it.
    fn cookie(&self) -> String {
        let answer = self.get(&format!("/login?token={}", self.console.secrets.token), "");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let line = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
        assert!(line.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{line}");
        assert!(answer.contains(r#"content="0;url=/""#), "it leads on, without the token");
        format!("Cookie: {}\r\n", line.split(';').next().unwrap())
    }

    fn get(&self, path: &str, more: &str) -> String {
        let host = self.at;
        self.said(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n").as_bytes())
    }

    fn post(&self, path: &str, more: &str, form: &str) -> String {
        let (host, length) = (self.at, form.len());
        let kind = "Content-Type: application/x-www-form-urlencoded";
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\n{kind}\r\nContent-Length: {length}\r\n{more}\r\n{form}"
        );
        self.said(head.as_bytes())
    }
}

#[track_caller]
fn is(answer: &str, status: u16, words: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    assert!(answer.contains(words), "{words} is not in: {answer}");
}

#[test]
fn only_who_has_the_token_and_names_this_host_is_let_in() {
    let served = serve(false);
    let cookie = served.cookie();
    is(&served.get("/", &cookie), 503, "no agent runs");
    // Without the cookie, with another, with a wrong token.
    is(&served.get("/", ""), 401, "it has the token");
    is(&served.get("/", "Cookie: aegisbpf-console=0\r\n"), 401, "it has the token");
    is(&served.get("/nothing", ""), 401, "it has the token");
    is(&served.get("/login?token=0", ""), 401, "not the token");
    // Ours among those of other servers.
    let among = cookie.replace("Cookie: ", "Cookie: a=b; aegisbpf-console=0; ");
    is(&served.get("/", &among), 503, "no agent runs");
    // A name that somebody's name server decides; none; two.
    let as_host =
        |host: &str| served.said(format!("GET / HTTP/1.1\r\n{host}{cookie}\r\n").as_bytes());
    let port = served.at.port();
    is(&as_host(&format!("Host: localhost:{port}\r\n")), 503, "no agent runs");
    // A forwarded port is another one.
    is(&as_host("Host: localhost:8080\r\n"), 503, "no agent runs");
    is(&as_host(&format!("Host: evil.example:{port}\r\n")), 421, "localhost and [::1] only");
    is(&as_host("Host: 127.0.0.1.evil.example\r\n"), 421, "localhost and [::1] only");
    is(&as_host("Host: localhost\r\nHost: evil.example\r\n"), 421, "localhost and [::1] only");
    is(&as_host(""), 421, "localhost and [::1] only");
    // Another page sends the browser here.
    for site in ["cross-site", "same-site"] {
        let from = format!("{cookie}Sec-Fetch-Site: {site}\r\n");
        is(&served.get("/", &from), 403, "another page sent you");
    }
    is(&served.get("/", &format!("{cookie}Sec-Fetch-Site: same-origin\r\n")), 503, "no agent runs");
    is(&served.get("/nothing", &cookie), 404, "no such page");
    is(&served.get("/alerts?nothing=1", &cookie), 400, "nothing");
}

#[test]
fn each_answer_tells_the_browser_what_it_must_not_do() {
    let served = serve(false);
    for answer in
        [served.get("/", ""), served.get("/", &served.cookie()), served.get("/style.css", "")]
    {
        assert!(answer.contains("content-security-policy: default-src 'none'; "), "{answer}");
        for header in
            ["x-content-type-options: nosniff", "x-frame-options: DENY", "cache-control: no-store"]
        {
            assert!(answer.contains(header), "{header}: {answer}");
        }
        assert!(!answer.contains("<script") && !answer.contains("style="), "{answer}");
    }
}

#[test]
fn changes_are_refused_unless_they_are_allowed_and_meant() {
    let (shows, changes) = (serve(false), serve(true));
    let origin = |served: &Served| format!("{}Origin: http://{}\r\n", served.cookie(), served.at);
    let form = |served: &Served| {
        format!("form={}&reason=a+test&enforce=false", served.console.secrets.form)
    };
    is(&shows.post("/change/emergency", &origin(&shows), &form(&shows)), 403, "--allow-changes");
    // The control: nothing but the agent is missing.
    is(
        &changes.post(
            "/change/reload",
            &origin(&changes),
            &form(&changes).replace("&enforce=false", ""),
        ),
        503,
        "no agent runs",
    );
    is(
        &changes.post("/change/reload", &origin(&changes), "form=0&reason=a"),
        403,
        "this form is not",
    );
    is(&changes.post("/change/reload", &changes.cookie(), &form(&changes)), 403, "(Origin)");
    let other = format!("{}Origin: http://evil.example\r\n", changes.cookie());
    is(&changes.post("/change/reload", &other, &form(&changes)), 403, "(Origin)");
    let none = format!("{}Origin: null\r\n", changes.cookie());
    is(&changes.post("/change/reload", &none, &form(&changes)), 403, "(Origin)");
    let alone = format!("Origin: http://{}\r\n", changes.at);
    is(&changes.post("/change/reload", &alone, &form(&changes)), 401, "it has the token");
    let secret = &changes.console.secrets.form;
    let unsaid = format!("form={secret}&reason=+&id=1");
    is(&changes.post("/change/rollback", &origin(&changes), &unsaid), 400, "say why");
    let meant = format!("form={secret}&reason=a&id=1");
    is(&changes.post("/change/rollback", &origin(&changes), &meant), 503, "no agent runs");
    is(&changes.get("/change/reload", &changes.cookie()), 405, "");
}

#[test]
fn requests_have_bounds() {
    let served = serve(true);
    let cookie = served.cookie();
    let long = "x".repeat(64 * 1024);
    is(&served.get(&format!("/{long}"), ""), 431, "");
    is(&served.get("/", &format!("X: {long}\r\n")), 431, "");
    let many = "X: 1\r\n".repeat(200);
    is(&served.get("/", &many), 431, "");
    let origin = format!("{cookie}Origin: http://{}\r\n", served.at);
    is(&served.post("/change/reload", &origin, &format!("form={long}")), 413, "");
    assert_eq!(served.said(b"\xff\xfe\r\n\r\n").get(..13), Some("HTTP/1.1 400 "));
}

#[test]
fn one_who_says_nothing_is_hung_up_on_and_keeps_nobody_out() {
    let served = serve(false);
    let start = Instant::now();
    let silent: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(served.at).unwrap()).collect();
    is(&served.get("/style.css", ""), 200, "prefers-color-scheme");
    for mut stream in silent {
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        let mut text = String::new();
        drop(stream.read_to_string(&mut text));
        assert!(!text.contains("200 OK"), "{text}");
    }
    assert!(start.elapsed() < Duration::from_mins(1), "they are hung up on");
}
