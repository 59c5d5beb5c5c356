//! One line of the log, as JSON: `{"seq":…,"@timestamp":…,"action":…,…,"prev":"…","hash":"…"}`.
//!
//! The hash is the SHA-256 of all bytes of the line before `,"hash"`. They are compared as bytes, never
//! as JSON: there is one way to write a line.

use serde_json::{Map, Value as Json};
use sha2::{Digest, Sha256};

use super::{Hash, LINE_MAX, Link, LogError};

/// What every line has; what is known of an action goes by other names.
const OURS: [&str; 5] = ["seq", "@timestamp", "action", "prev", "hash"];
const SEQ: &[u8] = b"{\"seq\":";
const PREV: &[u8] = b",\"prev\":\"";
const HASH: &[u8] = b",\"hash\":\"";
const END: &[u8] = b"\"}";
const HEX: usize = 64;

/// A line as it is in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parsed {
    /// Its number and the hash that it names as its own.
    pub(super) link: Link,
    /// The hash that it names as that of the line before.
    pub(super) prev: Hash,
    /// The hash that it has.
    pub(super) real: Hash,
}

/// The line behind `before`, with its end; and its place in the chain.
pub(super) fn seal(
    before: &Link,
    time: &str,
    action: &str,
    about: &Map<String, Json>,
) -> Result<(Vec<u8>, Link), LogError> {
    let seq = before.seq.saturating_add(1);
    let mut line = Map::new();
    line.insert("seq".to_owned(), seq.into());
    line.insert("@timestamp".to_owned(), time.into());
    line.insert("action".to_owned(), action.into());
    for (name, value) in about {
        // A name of ours is kept beside ours, not in its place.
        let taken = OURS.contains(&name.as_str());
        let name = if taken { format!("about.{name}") } else { name.clone() };
        line.insert(name, value.clone());
    }
    line.insert("prev".to_owned(), before.hash.to_string().into());
    let mut bytes = Json::Object(line).to_string().into_bytes();
    bytes.pop();
    let hash = hashed(&bytes);
    bytes.extend([HASH, hash.to_string().as_bytes(), END, b"\n"].concat());
    if bytes.len() > LINE_MAX {
        return Err(LogError::TooLong(bytes.len()));
    }
    Ok((bytes, Link { seq, hash }))
}

/// A line without its end; none if it is not one of a log.
pub(super) fn parse(line: &[u8]) -> Option<Parsed> {
    let body = line.strip_suffix(END)?;
    let (body, hash) = body.split_at_checked(body.len().checked_sub(HEX)?)?;
    let body = body.strip_suffix(HASH)?;
    let (front, prev) =
        body.strip_suffix(b"\"")?.split_at_checked(body.len().checked_sub(HEX + 1)?)?;
    front.strip_suffix(PREV)?;
    let digits = line.strip_prefix(SEQ)?;
    let digits = digits.get(..digits.iter().position(|byte| *byte == b',')?)?;
    let seq = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let link = Link { seq, hash: Hash::parse(hash)? };
    Some(Parsed { link, prev: Hash::parse(prev)?, real: hashed(body) })
}

fn hashed(bytes: &[u8]) -> Hash {
    Hash(Sha256::digest(bytes).into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_sealed_is_parsed_and_says_what_it_was_told() {
        let before = Link { seq: 6, hash: Hash([7; 32]) };
        let Json::Object(about) = json!({ "pid": 1, "seq": "mine", "text": "a\n\",\"prev\":\"" })
        else {
            unreachable!()
        };
        let (bytes, link) = seal(&before, "2026-01-02T03:04:05Z", "kill", &about).unwrap();
        let line = bytes.strip_suffix(b"\n").unwrap();
        let parsed = parse(line).unwrap();
        assert_eq!((parsed.link, parsed.prev, parsed.real), (link, before.hash, link.hash));
        let json: Json = serde_json::from_slice(line).unwrap();
        assert_eq!((&json["seq"], &json["about.seq"]), (&7.into(), &"mine".into()));
        assert_eq!(json["text"], "a\n\",\"prev\":\"");
        let long = Map::from_iter([("text".to_owned(), "x".repeat(LINE_MAX).into())]);
        assert!(matches!(seal(&before, "", "kill", &long), Err(LogError::TooLong(_))));
    }

    #[test]
    fn what_is_no_line_is_none() {
        let (bytes, _) = seal(&Link::default(), "t", "a", &Map::new()).unwrap();
        let line = bytes.strip_suffix(b"\n").unwrap();
        for end in 0..line.len() {
            assert_eq!(parse(&line[..end]), None, "cut after {end}");
        }
        for other in [&b""[..], b"{}", b"\0\0\0", &bytes] {
            assert_eq!(parse(other), None);
        }
    }
}
