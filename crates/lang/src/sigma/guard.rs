//! What a Sigma file may look like, checked before the library sees it: YAML can ask for far more
//! memory and depth than it has bytes.

use yaml_serde::Value;

use crate::diagnostic::{Code, Diagnostic, Span};
use crate::limits::{MAX_CONDITION, MAX_DEPTH, MAX_LIST, MAX_SIGMA_BRACKETS, MAX_SIGMA_DOCUMENT};

/// The documents of a file: the text between `---` lines, with its place. A file that uses
/// collection actions (`action: global`) is one piece, since its documents depend on each other.
pub(super) fn documents(text: &str) -> Vec<Span> {
    if text.lines().any(|line| line.starts_with("action:")) {
        return std::iter::once(0..text.len()).collect();
    }
    let mut all = Vec::new();
    let (mut start, mut at) = (0, 0);
    for line in text.split_inclusive('\n') {
        if line.trim_end() == "---" || line.starts_with("--- ") {
            all.push(start..at);
            start = at;
        }
        at += line.len();
    }
    all.push(start..text.len());
    let has_text = |span: &Span| {
        let text = text.get(span.clone()).unwrap_or_default();
        text.lines().any(|line| {
            let line = line.trim();
            !line.is_empty() && !line.starts_with('#') && !line.starts_with("---")
        })
    };
    all.retain(has_text);
    all
}

/// Complains about a document that is too large, too deep, or uses anchors.
pub(super) fn check(text: &str) -> Result<(), Box<Diagnostic>> {
    let limit = |span: Span, message: String| Box::new(Diagnostic::new(Code::Limit, span, message));
    if text.len() > MAX_SIGMA_DOCUMENT {
        let message =
            format!("the document has {} bytes, the limit is {MAX_SIGMA_DOCUMENT}", text.len());
        return Err(limit(0..1, message));
    }
    let mut brackets = text.match_indices(['[', '{']);
    if let Some((at, _)) = brackets.nth(MAX_SIGMA_BRACKETS) {
        let message = format!("the document has more than {MAX_SIGMA_BRACKETS} brackets");
        return Err(limit(at..at + 1, message));
    }
    if let Some(at) = anchor(text) {
        return Err(Box::new(
            Diagnostic::new(Code::Yaml, at..at + 1, "anchors and aliases are not read")
                .label("an anchor or alias")
                .help(
                    "write the value where it is used, or quote a text that starts with `&` or `*`",
                ),
        ));
    }
    for document in yaml_serde::Deserializer::from_str(text) {
        let value: Value = match serde::Deserialize::deserialize(document) {
            Ok(value) => value,
            Err(error) => {
                let at = error.location().map_or(0, |place| place.index()).min(text.len());
                let message = format!("the file is not valid YAML: {error}");
                return Err(Box::new(Diagnostic::new(Code::Yaml, at..at, message)));
            }
        };
        shape(&value, 0, false).map_err(|message| limit(0..1, message))?;
    }
    Ok(())
}

/// Depth, lengths of lists, and what conditions nest.
fn shape(value: &Value, depth: usize, condition: bool) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(format!("values are nested deeper than {MAX_DEPTH} levels"));
    }
    match value {
        Value::String(text) if condition => check_condition(text),
        Value::Sequence(all) => {
            if all.len() > MAX_LIST {
                return Err(format!("a list has more than {MAX_LIST} elements"));
            }
            all.iter().try_for_each(|one| shape(one, depth + 1, condition))
        }
        Value::Mapping(all) => all
            .iter()
            .try_for_each(|(key, one)| shape(one, depth + 1, key.as_str() == Some("condition"))),
        Value::Tagged(tagged) => shape(&tagged.value, depth + 1, condition),
        _ => Ok(()),
    }
}

/// The library's parser of conditions recurses by parentheses and by `not`.
fn check_condition(text: &str) -> Result<(), String> {
    if text.len() > MAX_CONDITION {
        return Err(format!("a condition has more than {MAX_CONDITION} bytes"));
    }
    let mut depth = 0_usize;
    for byte in text.bytes() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(format!("a condition is nested deeper than {MAX_DEPTH} levels"));
        }
    }
    let nots = text.split_whitespace().filter(|word| word.eq_ignore_ascii_case("not")).count();
    if nots > MAX_LIST / MAX_DEPTH {
        return Err("a condition has too many `not`".to_owned());
    }
    Ok(())
}

/// Where the first anchor or alias is. Quoted texts, comments and block texts are passed over.
fn anchor(text: &str) -> Option<usize> {
    let mut at = 0;
    let mut scan = Scan { quote: None, flow: 0 };
    // Indentation of the key of a block text: deeper lines are its content.
    let mut block: Option<usize> = None;
    for line in text.split_inclusive('\n') {
        let indent = line.bytes().take_while(|byte| *byte == b' ').count();
        let inside = block.is_some_and(|outer| line.trim().is_empty() || indent > outer);
        if !inside {
            block = None;
            if let Some(found) = scan.line(line) {
                return Some(at + found);
            }
            if scan.quote.is_none() && opens_block(line) {
                block = Some(indent);
            }
        }
        at += line.len();
    }
    None
}

/// What goes on from line to line.
struct Scan {
    quote: Option<u8>,
    /// Depth of `[` and `{`.
    flow: usize,
}

impl Scan {
    /// The first `&` or `*` at the start of a value.
    fn line(&mut self, line: &str) -> Option<usize> {
        let mut starts = self.quote.is_none();
        let mut before = b' ';
        for (index, byte) in line.bytes().enumerate() {
            if let Some(open) = self.quote {
                if byte == open && !(open == b'"' && before == b'\\') {
                    self.quote = None;
                }
            } else {
                match byte {
                    b'#' if before.is_ascii_whitespace() => return None,
                    b'&' | b'*' if starts => return Some(index),
                    b'\'' | b'"' if starts => self.quote = Some(byte),
                    _ => {}
                }
                starts = self.starts_after(byte, before, starts);
            }
            // A pair of backslashes does not escape what follows it.
            before = if before == b'\\' && byte == b'\\' { b' ' } else { byte };
        }
        None
    }

    /// Whether a value may start behind this byte.
    fn starts_after(&mut self, byte: u8, before: u8, starts: bool) -> bool {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => starts || before == b':',
            b'-' | b'?' => starts,
            b'[' | b'{' if starts || self.flow > 0 => {
                self.flow += 1;
                true
            }
            b']' | b'}' => {
                self.flow = self.flow.saturating_sub(1);
                false
            }
            b',' => self.flow > 0,
            _ => false,
        }
    }
}

/// Whether a line ends in `|` or `>` with its indicators.
fn opens_block(line: &str) -> bool {
    let last = line.split(" #").next().unwrap_or_default().trim_end();
    let word = last.rsplit([' ', '\t']).next().unwrap_or_default();
    let mut bytes = word.bytes();
    matches!(bytes.next(), Some(b'|' | b'>'))
        && bytes.all(|byte| matches!(byte, b'+' | b'-' | b'0'..=b'9'))
}
