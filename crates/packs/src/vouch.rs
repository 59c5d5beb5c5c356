//! Who vouches for the bytes of a manifest, and of what level it is for that.

use std::collections::BTreeSet;

use crate::code::{Code, Refusal};
use crate::level::Level;
use crate::signature::{KeyId, NAMESPACE, Signature};
use crate::untrusted::Judge;

/// A signature that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// The key.
    pub key: KeyId,
    /// What its owner added under the signature; escaped.
    pub comment: String,
}

/// Who vouches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Vouched {
    pub(crate) level: Level,
    pub(crate) signers: Vec<Signer>,
    /// Keys that vouch, and those that introduced them: whom grants may name.
    pub(crate) keys: Vec<KeyId>,
    /// Keys of signatures that do not count here.
    pub(crate) others: Vec<KeyId>,
}

/// Checks all signatures. One by a known key that does not fit is never overlooked; one by an
/// unknown key cannot be checked, and counts for nothing.
pub(crate) fn vouch(
    place: &str,
    manifest: &[u8],
    signatures: &[(String, Signature)],
    judge: &Judge<'_>,
) -> Result<Vouched, Vec<Refusal>> {
    let mut all = Vouched {
        level: Level::Untrusted,
        signers: Vec::new(),
        keys: Vec::new(),
        others: Vec::new(),
    };
    let (mut trusted, mut strangers) = (BTreeSet::new(), BTreeSet::new());
    let mut shipped = true;
    let mut reasons = Vec::new();
    for (place, signature) in signatures {
        let id = &signature.key;
        let Some(key) = judge.ring.get(id) else {
            reasons.push(Refusal::new(Code::UnknownKey, place, format!("by {id}")));
            all.others.push(id.clone());
            continue;
        };
        signature.check(place, &key.public, manifest, NAMESPACE).map_err(|why| vec![why])?;
        if let Some((code, what)) = key.refused(judge.ring, judge.now) {
            reasons.push(Refusal::new(code, place, what));
            all.others.push(id.clone());
            continue;
        }
        shipped &= key.level == Level::Shipped;
        let owners = if key.level == Level::Untrusted { &mut strangers } else { &mut trusted };
        owners.insert(key.owner().clone());
        let comment = model::escape::escaped(signature.comment());
        all.signers.push(Signer { key: id.clone(), comment });
        all.keys.extend(key.line.iter().cloned());
    }
    let revoked = reasons.iter().any(|reason| reason.code == Code::Revoked);
    let enough = trusted.len() >= judge.ring.threshold.max(1);
    // A place vouches for what nobody signed. What is signed is judged by its signatures.
    let overlooked = signatures.is_empty() || (judge.unsigned && !revoked);
    let by_place = !judge.place.terms().signature && !judge.strict && overlooked;
    all.level = if enough && shipped {
        Level::Shipped
    } else if enough {
        Level::Signed
    } else if !strangers.is_empty() {
        Level::Untrusted
    } else if by_place {
        judge.place
    } else {
        return Err(refused(place, signatures.len(), trusted.len(), reasons, judge));
    };
    if judge.strict {
        all.level = Level::Untrusted;
    }
    Ok(all)
}

/// Why the signatures are not enough.
fn refused(
    place: &str,
    signatures: usize,
    counted: usize,
    mut reasons: Vec<Refusal>,
    judge: &Judge<'_>,
) -> Vec<Refusal> {
    if signatures == 0 {
        let what =
            if judge.strict { "strict mode takes none without" } else { "nobody vouches for it" };
        return vec![Refusal::new(Code::NoSignature, place, what)];
    }
    if counted > 0 {
        let what =
            format!("{counted} of different owners count, {} are needed", judge.ring.threshold);
        reasons.insert(0, Refusal::new(Code::TooFew, place, what));
    }
    // What was revoked tells more than that another key is not known.
    reasons.sort_by_key(|reason| reason.code == Code::UnknownKey);
    reasons
}
