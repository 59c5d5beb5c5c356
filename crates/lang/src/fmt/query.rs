//! Layout of a query: one space between tokens, two more columns for each open bracket.

use super::tokens::{Kind, Token, tokens};
use crate::diagnostic::Diagnostic;

/// Columns of one level.
const STEP: usize = 2;
/// Deeper than this, lines are not indented further.
const MAX_LEVELS: usize = 16;

/// Lays out a query.
pub(super) fn format(text: &str) -> Result<String, Box<Diagnostic>> {
    let all = tokens(text)?;
    let mut out = String::with_capacity(text.len());
    let mut depth = 0_usize;
    let mut before: Option<Token<'_>> = None;
    for token in &all {
        if token.kind == Kind::Close {
            depth = depth.saturating_sub(1);
        }
        if let Some(before) = before {
            let forced = before.kind == Kind::LineComment;
            if token.breaks > 0 || forced {
                // One empty line is kept, more are not.
                out.push_str(if token.breaks > 1 { "\n\n" } else { "\n" });
                let columns = STEP * (level(token) + depth).min(MAX_LEVELS);
                out.extend(std::iter::repeat_n(' ', columns));
            } else if spaced(&before, token) {
                out.push(' ');
            }
        }
        out.push_str(token.text);
        depth += usize::from(token.kind == Kind::Open);
        before = Some(*token);
    }
    if !out.is_empty() {
        out.push('\n');
    }
    Ok(out)
}

/// Whether a line that starts with this token stands at the margin: `until` and pipes do, what
/// goes on from the line before does not.
fn level(token: &Token<'_>) -> usize {
    usize::from(!matches!(token.text, "until" | "|"))
}

/// Whether a space stands between two tokens of a line.
fn spaced(before: &Token<'_>, token: &Token<'_>) -> bool {
    use Kind as K;
    match (before.kind, token.kind) {
        (K::BlockComment | K::LineComment, _) | (_, K::BlockComment | K::LineComment) => true,
        (K::Prefix | K::Assign | K::Open, _) | (_, K::Assign | K::Close | K::Comma) => false,
        // A call, an index, the rest of a name: as written, since a step may follow a word too.
        (K::Operand | K::Close, K::Open | K::Operand | K::Prefix) => !token.glued,
        _ => true,
    }
}
