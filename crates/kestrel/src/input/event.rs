//! One JSON document as an event.

use std::sync::Arc;

use model::field::{self, FieldId};
use model::value::{Fields, Value};

use super::slot::Slots;
use super::{Bad, Decoder, Names};

/// An event that owns its document; it can be filled again and again.
#[derive(Debug)]
pub(crate) struct Event {
    names: Arc<Names>,
    document: Vec<u8>,
    slots: Slots,
}

/// An event whose document lies elsewhere. Reading a field is two look-ups in arrays.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'e> {
    names: &'e Names,
    document: &'e [u8],
    slots: &'e Slots,
}

/// Room for the values of one document after another.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    slots: Slots,
}

impl Decoded {
    /// Reads a document; what was held before is gone, also after an error.
    pub(crate) fn read(&mut self, decoder: &mut Decoder, document: &[u8]) -> Result<(), Bad> {
        decoder.read(document, &mut self.slots)
    }

    /// The event of the document that was read last.
    pub(crate) fn view<'e>(&'e self, names: &'e Names, document: &'e [u8]) -> View<'e> {
        View { names, document, slots: &self.slots }
    }
}

impl Event {
    /// An event without a field.
    pub(crate) fn new(names: Arc<Names>) -> Event {
        Event { names, document: Vec::new(), slots: Slots::default() }
    }

    /// Takes over a document; what the event held before is gone, also after an error.
    pub(crate) fn read(&mut self, document: &[u8]) -> Result<(), Bad> {
        self.read_with(&mut Decoder::forgetful(Arc::clone(&self.names)), document)
    }

    /// The same with a decoder that has the same names and may remember what it has read.
    pub(crate) fn read_with(&mut self, decoder: &mut Decoder, document: &[u8]) -> Result<(), Bad> {
        self.document.clear();
        decoder.read(document, &mut self.slots)?;
        self.document.extend_from_slice(document);
        Ok(())
    }

    /// The same, borrowed.
    pub(crate) fn view(&self) -> View<'_> {
        View { names: &self.names, document: &self.document, slots: &self.slots }
    }

    /// Time, ns since the Unix epoch.
    pub(crate) fn time(&self) -> Option<i64> {
        self.view().time()
    }
}

impl<'e> View<'e> {
    /// The document as it was given.
    pub(crate) fn document(&self) -> &'e [u8] {
        self.document
    }

    /// Time, ns since the Unix epoch.
    pub(crate) fn time(&self) -> Option<i64> {
        self.integer(field::TIMESTAMP)
    }

    /// Order among events of the same time.
    pub(crate) fn sequence(&self) -> Option<i64> {
        self.integer(field::EVENT_SEQUENCE)
    }

    fn integer(&self, id: FieldId) -> Option<i64> {
        match self.get(id).each().next() {
            Some(Value::Int(number)) => Some(number),
            _ => None,
        }
    }
}

impl Fields for View<'_> {
    #[inline]
    fn get(&self, field: FieldId) -> Value<'_> {
        self.value(field)
    }

    fn extra(&self) -> bool {
        self.slots.any_from(self.names.known())
    }
}

impl<'e> View<'e> {
    /// What a field holds.
    #[inline]
    pub(crate) fn value(self, field: FieldId) -> Value<'e> {
        let Some(place) = self.names.place(field) else {
            debug_assert!(
                usize::from(field.0) >= self.names.count(),
                "{field:?} was not asked for"
            );
            return Value::Null;
        };
        self.slots.get(place, self.document)
    }
}

impl Fields for Event {
    fn get(&self, field: FieldId) -> Value<'_> {
        let Some(place) = self.names.place(field) else { return Value::Null };
        self.slots.get(place, &self.document)
    }

    fn extra(&self) -> bool {
        self.view().extra()
    }
}
