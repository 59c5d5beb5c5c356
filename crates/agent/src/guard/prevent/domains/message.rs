//! What an answer of a name server says: read by a process that runs as nobody, for the guard.
//!
//! It is the hidden command `read-answers`. Messages come by its standard input, each behind its length
//! as a number of 16 bits; on its standard output it says a line for each address: the name that was
//! asked for, the address, and for how many seconds. What cannot be relied on is a line with a `-`.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, OPCODE, Packet, PacketFlag, QCLASS, QTYPE, RCODE, TYPE};

use super::ADDRESSES_MAX;

/// Aliases that are followed; resolvers follow about as many.
const ALIASES_MAX: usize = 16;
/// What is said of a message that nothing can be learned from, though it is an answer.
pub(super) const UNFIT: &str = "-";

/// An answer that is broken, cut off or not what resolvers take.
#[derive(Debug, PartialEq, Eq)]
struct Unfit;

/// `aegisbpf read-answers`: prints what messages say, until there are no more.
pub(crate) fn read() -> io::Result<()> {
    let (mut from, mut out) = (io::stdin().lock(), io::stdout().lock());
    let mut len = [0; 2];
    loop {
        match from.read_exact(&mut len) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            other => other?,
        }
        let mut message = vec![0; usize::from(u16::from_le_bytes(len))];
        from.read_exact(&mut message)?;
        // Told at once, and as a whole.
        let mut text = Vec::new();
        match said(&message) {
            Ok(all) => {
                for (name, address, ttl) in all {
                    writeln!(text, "{name} {address} {ttl}")?;
                }
            }
            Err(Unfit) => writeln!(text, "{UNFIT}")?,
        }
        out.write_all(&text)?;
        out.flush()?;
    }
}

/// The name that was asked for, with each of its addresses and the seconds that it holds. Aliases are
/// followed inside of the answer: whatever else it names was not asked for, and is passed over.
fn said(message: &[u8]) -> Result<Vec<(String, IpAddr, u32)>, Unfit> {
    let packet = Packet::parse(message).map_err(|_| Unfit)?;
    let flags = (packet.has_flags(PacketFlag::RESPONSE), packet.has_flags(PacketFlag::TRUNCATION));
    let [question] = packet.questions.as_slice() else { return Err(Unfit) };
    if flags != (true, false) || packet.opcode() != OPCODE::StandardQuery {
        return Err(Unfit);
    }
    let addresses = [QTYPE::TYPE(TYPE::A), QTYPE::TYPE(TYPE::AAAA)];
    if packet.rcode() != RCODE::NoError
        || question.qclass != QCLASS::CLASS(CLASS::IN)
        || !addresses.contains(&question.qtype)
    {
        return Ok(Vec::new());
    }
    // A rule can only name what is written so.
    let Some(name) = text(&question.qname) else { return Ok(Vec::new()) };
    let (end, most) = end(&packet, &question.qname).ok_or(Unfit)?;
    let found = packet.answers.iter().filter(|one| one.class == CLASS::IN && one.name == *end);
    let found = found.filter_map(|one| {
        let address = match &one.rdata {
            RData::A(four) => IpAddr::V4(Ipv4Addr::from_bits(four.address)),
            RData::AAAA(six) => IpAddr::V6(Ipv6Addr::from_bits(six.address)),
            _ => return None,
        };
        Some((name.clone(), address, seconds(one.ttl).min(most)))
    });
    Ok(found.take(ADDRESSES_MAX).collect())
}

/// The name that the aliases of a name end in, and for how many seconds they do; none if they do not.
fn end<'p>(packet: &'p Packet<'_>, name: &'p Name<'_>) -> Option<(&'p Name<'p>, u32)> {
    let (mut name, mut most) = (name, u32::MAX);
    for _ in 0..ALIASES_MAX {
        let alias = packet.answers.iter().find_map(|one| match &one.rdata {
            RData::CNAME(to) if one.class == CLASS::IN && one.name == *name => {
                Some((&to.0, one.ttl))
            }
            _ => None,
        });
        let Some((to, ttl)) = alias else { return Some((name, most)) };
        (name, most) = (to, most.min(seconds(ttl)));
    }
    None
}

/// A time to live with the highest bit is none (RFC 2181).
fn seconds(ttl: u32) -> u32 {
    if ttl > i32::MAX.unsigned_abs() { 0 } else { ttl }
}

/// A name as rules write it; none if no rule can.
fn text(name: &Name<'_>) -> Option<String> {
    let labels = name.get_labels().iter().map(|label| {
        let bytes = label.as_ref();
        let right = bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte));
        let text = std::str::from_utf8(bytes).ok()?;
        (right && !text.is_empty()).then(|| text.to_ascii_lowercase())
    });
    let labels = labels.collect::<Option<Vec<String>>>()?;
    (!labels.is_empty()).then(|| labels.join("."))
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
