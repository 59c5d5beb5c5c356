//! Recordings: whatever the bytes are, they are read within their bounds, and what is sound among
//! them is played.

use capture::frame::{Frame, HEADER, Kind};
use capture::{Block, Head, Piece, Player, Reader, RuleSet};
use engine::NoScripts;
use model::program::Program;

/// Reads the bytes as a file, then as the payload of a frame whose checksum fits, since hardly any
/// change of a file leaves one.
pub(super) fn recording(data: &[u8]) {
    play(data);
    play(&resealed(data));
}

fn play(data: &[u8]) {
    let Ok(mut reader) = Reader::open(data) else { return };
    let mut player: Option<Player<'_>> = None;
    let (mut last, mut bytes) = (0, 0);
    while let Ok(Some(piece)) = reader.next_piece() {
        assert!(reader.position() >= last, "the reader goes back");
        last = reader.position();
        let frame = match piece {
            Piece::Frame(frame) => frame,
            Piece::Damage { bytes, .. } | Piece::Torn { bytes, .. } => {
                assert!(bytes > 0 && bytes <= data.len() as u64, "{bytes} bytes");
                continue;
            }
        };
        bytes += HEADER + frame.header.len;
        match (frame.header.kind, &mut player) {
            (Kind::Head, _) => take_head(&frame, &mut player),
            (Kind::Items | Kind::State, player) => {
                if let Ok(block) = frame.block() {
                    take(&frame, &block, player.as_mut());
                }
            }
            (Kind::End, _) => {}
        }
    }
    assert!(bytes <= data.len(), "more frames than bytes");
    if let Some(player) = player {
        player.finish();
    }
}

fn take_head(frame: &Frame, player: &mut Option<Player<'_>>) {
    let Ok(head) = Head::of(frame) else { return };
    if let Some(player) = player {
        // What is refused is refused.
        drop(player.head(head));
    } else {
        let (program, rules) = (Program::default(), RuleSet::default());
        *player = Player::new(head, program, rules, &|_| Box::new(NoScripts)).ok();
    }
}

/// A block that was read is written and read again: the same bytes.
fn take(frame: &Frame, block: &Block, player: Option<&mut Player<'_>>) {
    let Ok(mut packer) = capture::frame::Packer::new() else { return };
    if let Ok(bytes) = packer.block(Kind::Items, 0, block)
        && let Some((header, payload)) = bytes.split_first_chunk()
    {
        let again = Frame::checked(header, payload).and_then(|frame| frame.block());
        assert_eq!(again.as_ref(), Ok(block), "another block");
    }
    if let Some(player) = player {
        drop(player.items(frame.header.number, block, &mut |_| {}));
    }
}

/// Columns as a frame that nobody has damaged: the number of items, then words of the block, then the
/// columns.
fn resealed(bytes: &[u8]) -> Vec<u8> {
    let Some(([items, size @ ..], columns)) = bytes.split_first_chunk::<3>() else {
        return Vec::new();
    };
    let Ok(mut packer) = capture::frame::Packer::new() else { return Vec::new() };
    let size = usize::from(u16::from_le_bytes(*size)) * size_of::<u64>();
    packer.columns(((*items).into(), size), columns).unwrap_or_default()
}
