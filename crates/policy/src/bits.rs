//! A set of 256: of subjects in masks, of bytes in patterns.

use std::ops::{BitAnd, BitAndAssign, BitOr, BitOrAssign, Not};

use crate::limits::WORDS;

/// A set of numbers from 0 to 255.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct Bits(pub [u64; WORDS]);

impl Bits {
    /// Nothing.
    pub const NONE: Bits = Bits([0; WORDS]);
    /// Everything.
    pub const ALL: Bits = Bits([u64::MAX; WORDS]);

    /// Only this one.
    pub fn one(bit: u8) -> Bits {
        let mut bits = Bits::NONE;
        bits.set(bit);
        bits
    }

    /// Adds one.
    pub fn set(&mut self, bit: u8) {
        if let Some(word) = self.0.get_mut(usize::from(bit / 64)) {
            *word |= 1 << (bit % 64);
        }
    }

    /// Whether it is in the set.
    pub fn has(&self, bit: u8) -> bool {
        self.0.get(usize::from(bit / 64)).is_some_and(|word| word & (1 << (bit % 64)) != 0)
    }

    /// Whether nothing is in the set.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Whether the two have one in common.
    pub fn meets(&self, other: &Bits) -> bool {
        !(*self & *other).is_empty()
    }

    /// All of the set, in order.
    pub fn iter(&self) -> impl Iterator<Item = u8> + '_ {
        (0..=u8::MAX).filter(|bit| self.has(*bit))
    }

    fn zip(self, other: Bits, join: impl Fn(u64, u64) -> u64) -> Bits {
        let mut words = self.0;
        for (word, other) in words.iter_mut().zip(other.0) {
            *word = join(*word, other);
        }
        Bits(words)
    }
}

impl BitAnd for Bits {
    type Output = Bits;
    fn bitand(self, other: Bits) -> Bits {
        self.zip(other, |a, b| a & b)
    }
}

impl BitOr for Bits {
    type Output = Bits;
    fn bitor(self, other: Bits) -> Bits {
        self.zip(other, |a, b| a | b)
    }
}

impl BitOrAssign for Bits {
    fn bitor_assign(&mut self, other: Bits) {
        *self = *self | other;
    }
}

impl BitAndAssign for Bits {
    fn bitand_assign(&mut self, other: Bits) {
        *self = *self & other;
    }
}

impl Not for Bits {
    type Output = Bits;
    fn not(self) -> Bits {
        Bits(self.0.map(|word| !word))
    }
}

impl FromIterator<u8> for Bits {
    fn from_iter<I: IntoIterator<Item = u8>>(bits: I) -> Bits {
        let mut set = Bits::NONE;
        bits.into_iter().for_each(|bit| set.set(bit));
        set
    }
}
