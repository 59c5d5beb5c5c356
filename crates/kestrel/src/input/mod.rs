//! Events from files: ECS as NDJSON or a JSON array, nested or dotted.
//!
//! | module | does |
//! |---|---|
//! | `source`, `lines` | files into blocks and documents, bounded |
//! | `archive` | documents that were read before |
//! | `order` | documents into the order of time |
//! | `scan` | JSON, read in place |
//! | `names` | which names are fields |
//! | `decode`, `convert` | a document into the values of fields |
//! | `memory` | objects that come again and again |
//! | `slot` | values in few bytes |
//! | `event` | a document as [`model::value::Fields`] |
//! | `time` | times in the forms that are in use |

mod archive;
mod convert;
mod decode;
mod event;
mod lines;
mod memory;
mod names;
mod order;
mod scan;
mod slot;
mod source;
#[cfg(test)]
mod tests;
mod time;

pub(crate) use decode::Decoder;
pub(crate) use event::{Decoded, Event, View};
pub(crate) use lines::Lines;
pub(crate) use names::Names;
pub(crate) use order::{Order, Ordered, Placed, Report, Waiting, identity, number, position};
pub(crate) use source::{Block, Cursor, Position, Source};

/// Why a line is not an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Bad {
    #[error("byte {at}: expected {expected}")]
    Json { expected: &'static str, at: usize },
    #[error("objects and arrays are nested deeper than {}", scan::DEPTH_MAX)]
    Deep,
    #[error("byte {at}: not UTF-8")]
    Utf8 { at: usize },
    #[error("an escape in a string is not one of JSON")]
    Escape,
    #[error("longer than {} bytes", source::LINE_MAX)]
    Long,
}
