//! Who stays within reach of who is cut off.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// Bits of a key before the address: what is unused, and the port.
const BEFORE_ADDRESS: u32 = 32;

/// Who may be reached: an address or a network, with one port or all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    address: IpAddr,
    prefix: u8,
    port: Option<u16>,
}

impl Peer {
    /// An address with all of its ports.
    pub fn host(address: IpAddr) -> Peer {
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        Peer { address, prefix, port: None }
    }

    /// Whether some of what goes to that address and port would stay within reach; port 0: any of them.
    pub fn meets(self, other: SocketAddr) -> bool {
        let bits = |address: IpAddr| match address {
            IpAddr::V4(four) => four.to_ipv6_mapped().to_bits(),
            IpAddr::V6(six) => six.to_bits(),
        };
        let more = if self.address.is_ipv4() { 96 } else { 0 };
        let host = 128 - more - u32::from(self.prefix).min(128 - more);
        // A shift by all of the bits is no shift.
        let differs = (bits(self.address) ^ bits(other.ip())).checked_shr(host).unwrap_or(0);
        let is_port = |port| other.port() == 0 || other.port() == port;
        differs == 0 && self.port.is_none_or(is_port)
    }

    /// The key of the map: bits, unused, port, address; version 4 as mapped.
    pub(super) fn key(self) -> [u8; 24] {
        let (address, more) = match self.address {
            IpAddr::V4(four) => (four.to_ipv6_mapped(), 96),
            IpAddr::V6(six) => (six, 0),
        };
        let bits = BEFORE_ADDRESS + more + u32::from(self.prefix);
        let mut key = [0; 24];
        let parts: [&[u8]; 4] = [
            &bits.to_ne_bytes(),
            &[0, 0],
            &self.port.unwrap_or(0).to_be_bytes(),
            &Ipv6Addr::octets(&address),
        ];
        key.iter_mut().zip(parts.concat()).for_each(|(to, from)| *to = from);
        key
    }
}

/// A text that names no peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no peer; write 192.0.2.1, 192.0.2.0/24, 192.0.2.1:443, 2001:db8::1 or [2001:db8::1]:443"
)]
pub struct NoPeer(String);

impl FromStr for Peer {
    type Err = NoPeer;

    fn from_str(text: &str) -> Result<Peer, NoPeer> {
        let fail = || NoPeer(text.to_owned());
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Peer::host(address));
        }
        if let Ok(both) = text.parse::<SocketAddr>() {
            let port = Some(both.port()).filter(|port| *port != 0).ok_or_else(fail)?;
            return Ok(Peer { port: Some(port), ..Peer::host(both.ip()) });
        }
        let (address, bits) = text.split_once('/').ok_or_else(fail)?;
        let most = Peer::host(address.parse().map_err(|_| fail())?);
        let prefix = bits.parse().ok().filter(|bits| *bits <= most.prefix).ok_or_else(fail)?;
        Ok(Peer { prefix, ..most })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.address, port).fmt(f),
            None if self.prefix == Peer::host(self.address).prefix => self.address.fmt(f),
            None => write!(f, "{}/{}", self.address, self.prefix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_read_as_they_are_shown() {
        for text in [
            "192.0.2.1",
            "192.0.2.0/24",
            "192.0.2.1:443",
            "2001:db8::1",
            "2001:db8::/32",
            "[2001:db8::1]:443",
        ] {
            assert_eq!(text.parse::<Peer>().unwrap().to_string(), text);
        }
        for text in
            ["", "example.org", "192.0.2.1/33", "192.0.2.1:0", "192.0.2.1:70000", "::/129", "/8"]
        {
            assert_eq!(text.parse::<Peer>(), Err(NoPeer(text.to_owned())));
        }
    }

    #[test]
    fn a_peer_is_met_within_its_network_and_at_its_port() {
        for (peer, other, meets) in [
            ("10.1.0.0/16", "10.1.7.9:443", true),
            ("10.1.0.0/16", "10.2.0.1:443", false),
            ("10.1.0.0/16", "[::ffff:10.1.0.1]:443", true),
            ("10.1.0.0/16", "[2001:db8::1]:443", false),
            ("192.0.2.1", "192.0.2.1:9", true),
            ("192.0.2.1", "192.0.2.2:9", false),
            ("192.0.2.1:443", "192.0.2.1:443", true),
            ("192.0.2.1:443", "192.0.2.1:80", false),
            // Who is denied at all ports is denied at this one.
            ("192.0.2.1:443", "192.0.2.1:0", true),
            ("2001:db8::/32", "[2001:db8:1::1]:1", true),
            ("2001:db8::/32", "[2001:db9::1]:1", false),
            ("0.0.0.0/0", "203.0.113.1:1", true),
            ("0.0.0.0/0", "[2001:db8::1]:1", false),
            ("::/0", "203.0.113.1:1", true),
        ] {
            let peer: Peer = peer.parse().unwrap();
            assert_eq!(peer.meets(other.parse().unwrap()), meets, "{peer} {other}");
        }
    }

    #[test]
    fn a_key_is_laid_out_as_the_program_reads_it() {
        let key = "192.0.2.1:443".parse::<Peer>().unwrap().key();
        assert_eq!(key[..4], 160u32.to_ne_bytes());
        assert_eq!(key[4..8], [0, 0, 1, 187]);
        assert_eq!(key[8..], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1]);
        assert_eq!(
            "10.0.0.0/8".parse::<Peer>().unwrap().key()[..4],
            (32 + 96 + 8u32).to_ne_bytes()
        );
    }
}
