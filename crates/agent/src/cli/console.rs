//! The command line of `aegisbpf console`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use super::policy::Dirs;

/// Where it listens unless said otherwise.
const LISTEN: &str = "127.0.0.1:9436";
/// What the path of a socket begins with.
const UNIX: &str = "unix:";

/// Where the console listens: never where another host could reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Listen {
    /// At an address of this host.
    Loopback(SocketAddr),
    /// At a socket.
    Socket(PathBuf),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Listen, String> {
        if let Some(path) = text.strip_prefix(UNIX) {
            let path = PathBuf::from(path);
            let wrong = "the path of the socket must begin with /, as in `unix:/run/console.sock`";
            return if path.is_absolute() { Ok(Listen::Socket(path)) } else { Err(wrong.into()) };
        }
        let wrong = |_| format!("write it as `{LISTEN}` or `unix:/run/console.sock`");
        let address: SocketAddr = text.parse().map_err(wrong)?;
        if address.ip().is_loopback() {
            return Ok(Listen::Loopback(address));
        }
        Err(format!(
            "other hosts could reach {address}: name a loopback address or a socket, and from elsewhere \
             come through `ssh -L`"
        ))
    }
}

/// Options of `console`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConsoleArgs {
    /// Where to listen: a loopback address, or `unix:/PATH`
    #[arg(long, value_name = "ADDR:PORT|unix:PATH", default_value = LISTEN)]
    pub(crate) listen: Listen,
    /// Let who has the address undo actions, read the rules again and use the emergency switch
    #[arg(long)]
    pub(crate) allow_changes: bool,
    /// Policies that can be planned and simulated: a file or a directory; may be given several times
    /// [default: /etc/aegisbpf/policies.d]
    #[arg(long, value_name = "PATH")]
    pub(crate) policy: Vec<PathBuf>,
    /// Directories.
    #[command(flatten)]
    pub(crate) dirs: Dirs,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_this_host_can_be_listened_to() {
        let read = |text: &str| text.parse::<Listen>();
        for own in ["127.0.0.1:0", "127.9.9.9:80", "[::1]:9436"] {
            assert!(matches!(read(own), Ok(Listen::Loopback(_))), "{own}");
        }
        assert_eq!(read("unix:/run/x"), Ok(Listen::Socket("/run/x".into())));
        for open in ["0.0.0.0:80", "[::]:80", "192.0.2.1:80", "[::ffff:192.0.2.1]:80"] {
            assert!(read(open).unwrap_err().contains("other hosts"), "{open}");
        }
        for wrong in ["unix:x", "localhost:80", "9436", ""] {
            assert!(!read(wrong).unwrap_err().contains("other hosts"), "{wrong}");
        }
    }
}
