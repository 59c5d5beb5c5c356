//! The table of fields as it is listed for people and programs.

use serde_json::{Value, json};

use crate::applies;
use crate::field::{FIELDS, Field, FieldId};
use crate::op::Kind;
use crate::tiers::{self, Tier};

/// The fields whose names start so, with their numbers.
pub fn fields(prefix: &str) -> Vec<(FieldId, &'static Field)> {
    let named = (0..).map(FieldId).zip(FIELDS);
    named.filter(|(_, field)| field.name.starts_with(prefix)).collect()
}

/// All that is known of a field.
pub fn object(id: FieldId, field: &Field) -> Value {
    let operations: Vec<&str> = applies::kinds(id).iter().map(Kind::name).collect();
    let [lsm, fallback] = sources(id);
    json!({
        "name": field.name,
        "type": field.kind.name(),
        "source": field.source.name(),
        "tiers": { "lsm": lsm, "fallback": fallback },
        "operations": operations,
        "meaning": field.doc,
    })
}

/// What fills a field in the better tier and in the other.
pub fn sources(id: FieldId) -> [String; 2] {
    [Tier::Lsm, Tier::Fallback].map(|tier| tiers::words(id, tier))
}
