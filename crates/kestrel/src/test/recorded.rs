//! Tests over recordings: the rule alone is replayed, as `kestrel replay` would.

use std::path::Path;

use capture::frame::Kind;
use capture::{Head, Piece, Player, Reader, RuleSet};
use lang::RuleTest;
use model::program::{Program, Rule};

use crate::scripts;

/// Bytes of the recording of a test, which is read as a whole: some million events.
const BYTES_MAX: u64 = 64 << 20;

/// What went wrong with a test over this recording, which lies beside that file, if anything did.
pub(super) fn failure(
    program: &Program,
    rule: &Rule,
    test: &RuleTest,
    (beside, file): (&str, &str),
) -> Option<String> {
    match (test.alert, alerts(program, rule, (beside, file))) {
        (_, Err(why)) => Some(format!("{file}: {why}")),
        (true, Ok(0)) => Some(format!("expected an alert, got none in {file}")),
        (false, Ok(count)) if count > 0 => {
            Some(format!("expected no alert, got {count} in {file}"))
        }
        _ => None,
    }
}

/// How often the rule matches. A recording that is not whole is no test: nobody knows what is missing.
fn alerts(program: &Program, rule: &Rule, (beside, file): (&str, &str)) -> Result<u64, String> {
    let beside = Path::new(beside);
    let bytes = files::read_beside(beside, file, BYTES_MAX, files::Trust::Anyone);
    let bytes = bytes.map_err(|error| format!("[unreadable] {error}"))?;
    let mut reader = Reader::open(&*bytes).map_err(|error| error.to_string())?;
    let program = Program { rules: vec![rule.clone()], ..program.clone() };
    let runtime = |program: &Program| scripts::start(program);
    let (mut player, mut count): (Option<Player<'_>>, u64) = (None, 0);
    while let Some(piece) = reader.next_piece().map_err(|error| error.to_string())? {
        let Piece::Frame(frame) = piece else {
            return Err("[checksum] the recording is damaged or cut off".to_owned());
        };
        let refused = |refusal: capture::Refusal| format!("[{}] {refusal}", refusal.code());
        let unsound = |error: engine::eval::CompileError| error.to_string();
        match (frame.header.kind, &mut player) {
            (Kind::Head, None) => {
                let head = Head::of(&frame).map_err(refused)?;
                let new = Player::new(head, program.clone(), RuleSet::default(), &runtime);
                player = Some(new.map_err(unsound)?);
            }
            (Kind::State, Some(player)) => player.state(&frame.block().map_err(refused)?),
            (Kind::Items, Some(player)) => {
                let block = frame.block().map_err(refused)?;
                let played = player.items(frame.header.number, &block, &mut |heard| {
                    count += heard.matches();
                });
                played.map_err(unsound)?;
            }
            (Kind::End, Some(player)) => player.end(),
            (_, _) => return Err("[bound] frames are out of order".to_owned()),
        }
    }
    let verdict = player.map(Player::finish).ok_or("[head] the recording is empty")?;
    if verdict.gaps > 0 || verdict.malformed > 0 || verdict.lost.items > 0 {
        return Err("[checksum] something is missing in the recording".to_owned());
    }
    Ok(count)
}
