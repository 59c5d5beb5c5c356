//! syslog as RFC 5424 has it: datagrams (RFC 5426), or messages with their length over TCP (RFC 6587) and TLS
//! (RFC 5425).
//!
//! syslog has no acknowledgement. Over a stream a message counts as arrived when the connection still holds a moment
//! after it was written; what a receiver took and did not keep, nobody can know.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::{Refusal, Sent, Sink, tls};
use crate::outputs::item::{Form, Item, syslog_severity};
use crate::outputs::sender::Order;
use crate::outputs::target::{Kind, Target};

/// How long connecting, and writing, may take.
const LIMIT: Duration = Duration::from_secs(10);
/// How long a connection must hold after a message for it to count as arrived.
const HOLDS: Duration = Duration::from_millis(50);
/// Facility of security messages (RFC 5424, 6.2.1).
const AUTHPRIV: u8 = 10;
/// Our part of a message. The number is the one that RFC 5612 keeps for examples: we have none of our own.
const ELEMENT: &str = "aegisbpf@32473";
/// Letters of a host's name in a message.
const HOST_MAX: usize = 255;
/// Letters of a value in our part of a message: names of rules are shorter.
const VALUE_MAX: usize = 255;
/// Digits of a second that a message may have (RFC 5424, 6.2.3).
const FRACTION_MAX: usize = 6;

/// One message.
fn message(item: &Item, form: Form) -> String {
    let priority = AUTHPRIV * 8 + syslog_severity(item);
    let time = item.text("/@timestamp").map_or_else(|| "-".to_owned(), shortened);
    let host: String = item
        .text("/host/name")
        .unwrap_or("-")
        .chars()
        .filter(char::is_ascii_graphic)
        .take(HOST_MAX)
        .collect();
    let kind = match (item.is_health(), item.text("/event/reason")) {
        (true, _) => "health",
        (false, Some("denied" | "would be denied")) => "denial",
        (false, _) => "alert",
    };
    let mut element = format!("[{ELEMENT} id=\"{}\"", escaped(&item.id));
    for (name, at) in [("rule", "/rule/id"), ("severity", "/severity")] {
        if let Some(value) = item.text(at) {
            element.extend([" ", name, "=\"", &escaped(value), "\""]);
        }
    }
    // The receiver of a line must get one line; only CEF and JSON are sent, which have none inside.
    format!("<{priority}>1 {time} {host} aegisbpf - {kind} {element}] {}", form.of(item))
}

fn shortened(time: &str) -> String {
    let Some((whole, rest)) = time.split_once('.') else { return time.to_owned() };
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let zone = rest.get(digits.len()..).unwrap_or("Z");
    format!("{whole}.{}{zone}", digits.get(..FRACTION_MAX).unwrap_or(&digits))
}

fn escaped(value: &str) -> String {
    let mut text = String::new();
    for letter in value.chars().filter(|one| !one.is_control()).take(VALUE_MAX) {
        if matches!(letter, '"' | '\\' | ']') {
            text.push('\\');
        }
        text.push(letter);
    }
    text
}

/// Datagrams.
pub(super) struct Datagrams {
    address: String,
    form: Form,
    open: Option<UdpSocket>,
}

impl Datagrams {
    pub(super) fn new(target: &Target) -> Datagrams {
        Datagrams { address: target.address.clone(), form: target.form, open: None }
    }

    fn put(&mut self, item: &Item) -> io::Result<()> {
        let socket = match self.open.take() {
            Some(socket) => socket,
            None => connect_udp(&self.address)?,
        };
        // An error that came back for the one before is told here; the socket is still good.
        socket.send(message(item, self.form).as_bytes())?;
        self.open = Some(socket);
        Ok(())
    }
}

impl Sink for Datagrams {
    fn send(&mut self, items: &[Item]) -> Sent {
        Sent::each(items, |item| match self.put(item) {
            Ok(()) => Ok(()),
            Err(error) if error.raw_os_error() == Some(nix::libc::EMSGSIZE) => {
                Err(Refusal::Never("it is larger than a datagram".to_owned()))
            }
            Err(error) => Err(Refusal::Later(format!("{}: {error}", self.address))),
        })
    }
}

fn connect_udp(address: &str) -> io::Result<UdpSocket> {
    let mut failed = io::Error::from(ErrorKind::NotFound);
    for to in address.to_socket_addrs()? {
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        match UdpSocket::bind(any).and_then(|socket| socket.connect(to).map(|()| socket)) {
            Ok(socket) => return Ok(socket),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// A stream, with or without TLS.
trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

/// A connection.
pub(super) struct Stream {
    address: String,
    form: Form,
    tls: Option<Arc<ClientConfig>>,
    open: Option<Box<dyn Wire>>,
}

impl Stream {
    pub(super) fn new(target: &Target, order: &Order) -> Result<Stream, String> {
        let tls =
            (target.kind == Kind::SyslogTls).then(|| tls::trust(order.ca.as_deref()).map(Arc::new));
        let (address, form) = (target.address.clone(), target.form);
        Ok(Stream { address, form, tls: tls.transpose()?, open: None })
    }

    fn put(&mut self, items: &[Item]) -> io::Result<()> {
        let mut wire = match self.open.take() {
            Some(wire) => wire,
            None => self.connect()?,
        };
        let mut text = String::new();
        for item in items {
            let message = message(item, self.form);
            text.extend([&message.len().to_string(), " ", &message]);
        }
        wire.write_all(text.as_bytes())?;
        wire.flush()?;
        // What is written to a connection that has ended may be taken without an error.
        holds(&mut wire)?;
        self.open = Some(wire);
        Ok(())
    }

    fn connect(&self) -> io::Result<Box<dyn Wire>> {
        let mut failed = io::Error::from(ErrorKind::NotFound);
        for to in self.address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&to, LIMIT) {
                Ok(stream) => return self.secure(stream),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    fn secure(&self, stream: TcpStream) -> io::Result<Box<dyn Wire>> {
        stream.set_write_timeout(Some(LIMIT))?;
        stream.set_read_timeout(Some(HOLDS))?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let host = self.address.rsplit_once(':').map_or(self.address.as_str(), |one| one.0);
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(io::Error::other)?;
        let client = ClientConnection::new(Arc::clone(tls), name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(client, stream);
        stream.sock.set_read_timeout(Some(LIMIT))?;
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        stream.sock.set_read_timeout(Some(HOLDS))?;
        Ok(Box::new(stream))
    }
}

impl Sink for Stream {
    fn send(&mut self, items: &[Item]) -> Sent {
        let put = self.put(items).map_err(|error| format!("{}: {error}", self.address));
        Sent::all(items.len(), put)
    }
}

/// Whether the other end is still there: it says nothing, and has not ended.
fn holds(wire: &mut Box<dyn Wire>) -> io::Result<()> {
    let mut said = [0; 256];
    match wire.read(&mut said) {
        Ok(0) => Err(io::Error::new(
            ErrorKind::ConnectionAborted,
            "the receiver has closed the connection",
        )),
        Ok(_) => Ok(()),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_the_form_of_the_standard() {
        let line = r#"{"@timestamp":"2026-11-23T11:45:41.002944260Z","host":{"name":"vm 1"},
            "alert":{"id":"a]b"},"severity":"high","rule":{"id":"r\"1"},"event":{"kind":"alert"}}"#;
        let item = Item::of(&line.replace('\n', " ")).unwrap();
        let text = message(&item, Form::Json);
        let head = "<83>1 2026-11-23T11:45:41.002944Z vm1 aegisbpf - alert \
                    [aegisbpf@32473 id=\"a\\]b\" rule=\"r\\\"1\" severity=\"high\"] {";
        assert!(text.starts_with(head), "{text}");
        let health = Item::of(r#"{"event":{"kind":"pipeline_error"}}"#).unwrap();
        assert!(message(&health, Form::Json).starts_with("<84>1 - - aegisbpf - health ["));
    }
}
