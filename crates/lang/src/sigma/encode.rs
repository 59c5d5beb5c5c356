//! Modifiers that change a value before it is compared: encodings and spellings of dashes.

use super::tree::{Modifier, Piece, Value};
use crate::limits::MAX_LIST;

/// All spellings of a value after one of these modifiers, or why there is none.
pub(super) fn apply(modifier: Modifier, value: Value) -> Result<Vec<Value>, String> {
    let pieces = match value {
        Value::Text(pieces) => pieces,
        Value::Raw(text) => vec![Piece::Plain(text.into_bytes())],
        Value::Int(number) => vec![Piece::Plain(number.to_string().into_bytes())],
        other => return Ok(vec![other]),
    };
    let all = match modifier {
        Modifier::WinDash => dashes(&pieces)?,
        Modifier::Wide => vec![wide(pieces, u16::to_le_bytes, &[])?],
        Modifier::Utf16Be => vec![wide(pieces, u16::to_be_bytes, &[])?],
        Modifier::Utf16 => vec![wide(pieces, u16::to_le_bytes, &[0xFF, 0xFE])?],
        Modifier::Base64 => vec![vec![Piece::Plain(base64(&plain(pieces, "base64")?))]],
        Modifier::Base64Offset => {
            let bytes = plain(pieces, "base64offset")?;
            (0..3).map(|offset| vec![Piece::Plain(shifted(&bytes, offset))]).collect()
        }
        _ => vec![pieces],
    };
    Ok(all.into_iter().map(Value::Text).collect())
}

/// The bytes of a text without wildcards.
fn plain(pieces: Vec<Piece>, modifier: &str) -> Result<Vec<u8>, String> {
    let mut all = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Plain(mut bytes) => all.append(&mut bytes),
            Piece::Many | Piece::One => {
                return Err(format!("`{modifier}` of a text with a wildcard has no meaning"));
            }
        }
    }
    Ok(all)
}

fn wide(pieces: Vec<Piece>, order: fn(u16) -> [u8; 2], mark: &[u8]) -> Result<Vec<Piece>, String> {
    let mut all = Vec::with_capacity(pieces.len() + 1);
    if !mark.is_empty() {
        all.push(Piece::Plain(mark.to_vec()));
    }
    for piece in pieces {
        all.push(match piece {
            Piece::Plain(bytes) => {
                let text = std::str::from_utf8(&bytes)
                    .map_err(|_| "bytes that are no text cannot be made wide".to_owned())?;
                Piece::Plain(text.encode_utf16().flat_map(order).collect())
            }
            wildcard => wildcard,
        });
    }
    // Plain parts that touch are one, so that an encoding that follows sees all of them.
    Ok(join(all))
}

fn join(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut all: Vec<Piece> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match (all.last_mut(), piece) {
            (Some(Piece::Plain(before)), Piece::Plain(mut bytes)) => before.append(&mut bytes),
            (_, piece) => all.push(piece),
        }
    }
    all
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// RFC 4648 with padding.
pub(super) fn base64(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let index = (bits >> (18 - 6 * at)) & 63;
            let letter = ALPHABET.get(index as usize).copied().unwrap_or(b'=');
            out.push(if at <= chunk.len() { letter } else { b'=' });
        }
    }
    out
}

/// The letters that any text has in base64 that holds these bytes `offset` bytes after a border of
/// three: the letters that also depend on what stands around are left out.
fn shifted(bytes: &[u8], offset: usize) -> Vec<u8> {
    let mut text = vec![b' '; offset];
    text.extend_from_slice(bytes);
    let encoded = base64(&text);
    let start = [0, 2, 3].get(offset).copied().unwrap_or_default();
    let cut = [0, 3, 2].get(text.len() % 3).copied().unwrap_or_default();
    encoded.get(start..encoded.len() - cut).unwrap_or_default().to_vec()
}

/// How an option may be introduced: hyphen, slash, en dash, em dash, horizontal bar.
const DASHES: &[&str] = &["-", "/", "\u{2013}", "\u{2014}", "\u{2015}"];

/// All combinations of dashes before words.
fn dashes(pieces: &[Piece]) -> Result<Vec<Vec<Piece>>, String> {
    let mut all: Vec<Vec<Piece>> = vec![Vec::new()];
    for piece in pieces {
        let Piece::Plain(bytes) = piece else {
            for one in &mut all {
                one.push(piece.clone());
            }
            continue;
        };
        for part in split_dashes(bytes) {
            let spellings: Vec<&[u8]> = match part {
                Part::Dash => DASHES.iter().map(|dash| dash.as_bytes()).collect(),
                Part::Plain(bytes) => vec![bytes],
            };
            if all.len() * spellings.len() > MAX_LIST {
                return Err(format!("`windash` gives more than {MAX_LIST} spellings"));
            }
            all = all
                .iter()
                .flat_map(|before| {
                    spellings.iter().map(move |spelling| {
                        let mut one = before.clone();
                        one.push(Piece::Plain(spelling.to_vec()));
                        one
                    })
                })
                .collect();
        }
    }
    Ok(all.into_iter().map(join).collect())
}

enum Part<'b> {
    Dash,
    Plain(&'b [u8]),
}

/// A dash counts when a word follows and none precedes.
fn split_dashes(bytes: &[u8]) -> Vec<Part<'_>> {
    let word = |at: Option<usize>| {
        at.and_then(|at| bytes.get(at)).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_')
    };
    let mut parts = Vec::new();
    let mut from = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(byte, b'-' | b'/') && !word(at.checked_sub(1)) && word(Some(at + 1)) {
            parts.push(Part::Plain(bytes.get(from..at).unwrap_or_default()));
            parts.push(Part::Dash);
            from = at + 1;
        }
    }
    parts.push(Part::Plain(bytes.get(from..).unwrap_or_default()));
    parts
}
