//! A JSON scanner that reads what is asked for and steps over the rest, checked but not kept.

use std::ops::Range;

use super::Bad;

/// Deepest nesting that is followed; the deepest ECS name has six parts.
pub(crate) const DEPTH_MAX: usize = 64;

/// A place in one JSON text.
#[derive(Debug, Clone)]
pub(crate) struct Scan<'t> {
    text: &'t [u8],
    at: usize,
    /// Whether all strings so far are ASCII; outside of strings there is nothing else. If not, it
    /// is the caller who must know that they are UTF-8.
    ascii: bool,
}

/// A string as it stands in the text, without its quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Quoted {
    /// Its bytes.
    pub(crate) bytes: Range<usize>,
    /// Whether it has escapes that must be resolved.
    pub(crate) escaped: bool,
}

/// A number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    Int(i64),
    Float(f64),
}

impl<'t> Scan<'t> {
    pub(crate) fn new(text: &'t [u8]) -> Self {
        Scan { text, at: 0, ascii: true }
    }

    pub(crate) fn text(&self) -> &'t [u8] {
        self.text
    }

    /// The next byte that is no white space; it is not taken.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.text.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    /// Where the scanner is.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// What is wrong at this place.
    pub(crate) fn bad(&self, expected: &'static str) -> Bad {
        Bad::Json { expected, at: self.at }
    }

    /// Takes this byte if it is next.
    #[inline]
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let found = self.text.get(self.at) == Some(&byte) || self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    #[inline]
    pub(crate) fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), Bad> {
        if self.take(byte) { Ok(()) } else { Err(self.bad(expected)) }
    }

    /// Nothing may follow but white space.
    pub(crate) fn end(&mut self) -> Result<(), Bad> {
        if self.peek().is_none() { Ok(()) } else { Err(self.bad("the end of the line")) }
    }

    /// A string whose opening quote is next.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Quoted, Bad> {
        self.expect(b'"', "a string")?;
        let start = self.at;
        let mut escaped = false;
        loop {
            let (length, ascii) = plain(self.text.get(self.at..).unwrap_or_default());
            self.at += length;
            self.ascii &= ascii;
            match self.text.get(self.at) {
                Some(b'"') => {
                    let bytes = start..self.at;
                    self.at += 1;
                    return Ok(Quoted { bytes, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.ascii &= self.text.get(self.at + 1).is_none_or(u8::is_ascii);
                    self.at += 2;
                }
                Some(_) => return Err(self.bad("no control character in a string")),
                None => {
                    self.at = start;
                    return Err(self.bad("a closing quote"));
                }
            }
        }
    }

    /// A number that is next.
    pub(crate) fn number(&mut self) -> Result<Number, Bad> {
        let token = self.token()?;
        let text = str::from_utf8(token).unwrap_or_default();
        if let Ok(whole) = text.parse() {
            return Ok(Number::Int(whole));
        }
        text.parse().map(Number::Float).map_err(|_| self.bad("a number"))
    }

    /// A number that is next, as it stands.
    fn token(&mut self) -> Result<&'t [u8], Bad> {
        let start = self.at;
        let rest = self.text.get(start..).unwrap_or_default();
        let part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let end = rest.iter().position(|byte| !part(byte)).unwrap_or(rest.len());
        let token = rest.get(..end).unwrap_or_default();
        if !well_formed(token) {
            return Err(self.bad("a value"));
        }
        self.at = start + end;
        Ok(token)
    }

    /// `true`, `false` or `null` (`None`), whose first letter is next.
    pub(crate) fn word(&mut self) -> Result<Option<bool>, Bad> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        for (word, value) in [("true", Some(true)), ("false", Some(false)), ("null", None)] {
            if rest.starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.bad("a value"))
    }

    /// Steps over a value.
    pub(crate) fn skip(&mut self, depth: usize) -> Result<(), Bad> {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'{') => self.members(depth, |scan, _| scan.skip(depth + 1)),
            Some(b'[') => self.items(depth, |scan| scan.skip(depth + 1)),
            Some(b't' | b'f' | b'n') => self.word().map(drop),
            _ => self.token().map(drop),
        }
    }

    /// Steps over bytes that have been read before in just this place.
    pub(crate) fn pass(&mut self, length: usize, ascii: bool) {
        self.at += length;
        self.ascii &= ascii;
    }

    /// Whether all strings that were read are ASCII.
    pub(crate) fn is_ascii(&self) -> bool {
        self.ascii
    }

    /// Calls back at the value of each member of the object that is next.
    pub(crate) fn members(
        &mut self,
        depth: usize,
        mut member: impl FnMut(&mut Self, Quoted) -> Result<(), Bad>,
    ) -> Result<(), Bad> {
        self.keys(depth, |scan| {
            let key = scan.key()?;
            member(scan, key)
        })
    }

    /// A key that is next, and its colon.
    #[inline]
    pub(crate) fn key(&mut self) -> Result<Quoted, Bad> {
        let key = self.string()?;
        self.expect(b':', "a colon")?;
        Ok(key)
    }

    /// Steps over bytes if they are next.
    #[inline]
    pub(crate) fn pass_if(&mut self, bytes: &[u8]) -> bool {
        let next = self.text.get(self.at..).is_some_and(|rest| rest.starts_with(bytes));
        self.at += if next { bytes.len() } else { 0 };
        next
    }

    /// Calls back at the key of each member of the object that is next.
    pub(crate) fn keys(
        &mut self,
        depth: usize,
        mut member: impl FnMut(&mut Self) -> Result<(), Bad>,
    ) -> Result<(), Bad> {
        self.open(b'{', depth)?;
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            member(self)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.bad("a comma or a closing brace")),
            }
        }
    }

    /// Calls back at each item of the array that is next.
    pub(crate) fn items(
        &mut self,
        depth: usize,
        mut item: impl FnMut(&mut Self) -> Result<(), Bad>,
    ) -> Result<(), Bad> {
        self.open(b'[', depth)?;
        if self.take(b']') {
            return Ok(());
        }
        loop {
            item(self)?;
            if self.take(b']') {
                return Ok(());
            }
            self.expect(b',', "a comma or a closing bracket")?;
        }
    }

    fn open(&mut self, bracket: u8, depth: usize) -> Result<(), Bad> {
        if depth >= DEPTH_MAX {
            return Err(Bad::Deep);
        }
        self.expect(bracket, "an object")
    }
}

/// How many bytes come before the next quote, backslash or control character, and whether they are
/// ASCII (if so, it may be denied for what comes after them). Eight are looked at together: a byte
/// of `x - ONES & !x & TOPS` has its top bit where that byte of `x` is zero, and the lowest one that
/// is set is right whatever borrows did above it.
#[inline]
fn plain(text: &[u8]) -> (usize, bool) {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = ONES * 0x80;
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & TOPS;
    let (words, rest) = text.as_chunks::<8>();
    let (mut before, mut tops) = (0, 0);
    for word in words {
        let word = u64::from_le_bytes(*word);
        tops |= word & TOPS;
        let control = word.wrapping_sub(ONES * 0x20) & !word & TOPS;
        let found = control | zero(word ^ (ONES * 0x22)) | zero(word ^ (ONES * 0x5c));
        if found != 0 {
            return (before + found.trailing_zeros() as usize / 8, tops == 0);
        }
        before += 8;
    }
    let stop = |byte: &u8| matches!(byte, b'"' | b'\\' | ..b' ');
    let last = rest.iter().position(stop).unwrap_or(rest.len());
    (before + last, tops == 0 && rest.is_ascii())
}

/// Whether a token follows the grammar of JSON numbers.
fn well_formed(token: &[u8]) -> bool {
    fn digits(text: &[u8]) -> Option<&[u8]> {
        let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
        (end > 0).then(|| text.get(end..).unwrap_or_default())
    }
    let unsigned = token.strip_prefix(b"-").unwrap_or(token);
    let Some(mut rest) = digits(unsigned) else { return false };
    if unsigned.len() - rest.len() > 1 && unsigned.first() == Some(&b'0') {
        return false;
    }
    if let Some(fraction) = rest.strip_prefix(b".") {
        let Some(after) = digits(fraction) else { return false };
        rest = after;
    }
    if let Some(exponent) = rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E")) {
        let exponent =
            exponent.strip_prefix(b"+").or_else(|| exponent.strip_prefix(b"-")).unwrap_or(exponent);
        let Some(after) = digits(exponent) else { return false };
        rest = after;
    }
    rest.is_empty()
}

/// Appends a string with its escapes resolved.
pub(crate) fn unescape(raw: &[u8], out: &mut Vec<u8>) -> Result<(), Bad> {
    let mut rest = raw;
    while let Some(step) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(rest.get(..step).unwrap_or_default());
        let escape = rest.get(step + 1).copied().unwrap_or_default();
        rest = rest.get(step + 2..).unwrap_or_default();
        let plain = match escape {
            b'"' | b'\\' | b'/' => escape,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let (letter, after) = unicode(rest)?;
                out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                rest = after;
                continue;
            }
            _ => return Err(Bad::Escape),
        };
        out.push(plain);
    }
    out.extend_from_slice(rest);
    Ok(())
}

/// What follows `\u`: one code unit, or two that are a surrogate pair.
fn unicode(text: &[u8]) -> Result<(char, &[u8]), Bad> {
    let unit = |text: &[u8]| {
        let digits = text.get(..4).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
        u16::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
    };
    let first = unit(text).ok_or(Bad::Escape)?;
    let after = text.get(4..).unwrap_or_default();
    let second = after.strip_prefix(b"\\u").and_then(unit);
    let pair = [first, second.unwrap_or_default()];
    let units = if (0xd800..0xdc00).contains(&first) { &pair[..] } else { &pair[..1] };
    match char::decode_utf16(units.iter().copied()).next() {
        Some(Ok(letter)) if units.len() == 2 => Ok((letter, after.get(6..).unwrap_or_default())),
        Some(Ok(letter)) => Ok((letter, after)),
        // A lone surrogate is no character; such text comes from Windows names.
        _ => Ok((char::REPLACEMENT_CHARACTER, after)),
    }
}
