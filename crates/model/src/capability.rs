//! What a rule may do: asked for by whoever wrote it, granted by whoever runs it.
//!
//! The engine asks [`Capabilities::permits`] before it tells an action, and the guard asks it again
//! before it acts.

use std::fmt;
use std::ops::{BitAnd, BitOr};

macro_rules! capabilities {
    ($($name:ident, $word:literal, $doc:literal;)*) => {
        /// One thing that a rule may do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Capability { $(#[doc = $doc] $name),* }

        impl Capability {
            /// All of them, the harmless first.
            pub const ALL: &'static [Capability] = &[$(Capability::$name),*];

            /// The word used in manifests and grants.
            pub fn as_str(self) -> &'static str {
                match self { $(Capability::$name => $word),* }
            }

            /// What it allows, for people.
            pub fn doc(self) -> &'static str {
                match self { $(Capability::$name => $doc),* }
            }
        }
    };
}

capabilities! {
    Alert, "alert", "Raises alerts.";
    State, "state", "Remembers earlier events: sequences, samples, joins, counts and pipes.";
    Regex, "regex", "Uses regular expressions.";
    Deny, "deny", "Refuses acts, before or after the fact.";
    Kill, "kill", "Kills, stops and continues processes.";
    Quarantine, "quarantine", "Moves files out of the way.";
    Isolate, "isolate", "Cuts a cgroup or the host off the network.";
    Inline, "inline", "Is decided inside the kernel, before the act, without user space.";
    Network, "network", "Makes the agent send something to the network (a webhook).";
}

impl Capability {
    /// The capability that the word stands for.
    pub fn from_name(word: &str) -> Option<Capability> {
        Capability::ALL.iter().copied().find(|one| one.as_str() == word)
    }

    /// What an action (a word of [`crate::program::Response`]) needs; none for an action that is not
    /// carried out here.
    pub fn for_action(action: &str) -> Option<Capability> {
        match action {
            // What keeps a recording changes nothing.
            "alert" | "capture" => Some(Capability::Alert),
            "deny" => Some(Capability::Deny),
            // Elastic's endpoint rules have the second. Who is stopped for good is as good as killed.
            "kill" | "kill_process" | "kill-tree" | "stop" | "continue" => Some(Capability::Kill),
            "quarantine" => Some(Capability::Quarantine),
            "isolate" | "isolate-host" => Some(Capability::Isolate),
            "webhook" => Some(Capability::Network),
            _ => None,
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// A set of capabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities(u16);

impl Capabilities {
    /// None at all.
    pub const NONE: Capabilities = Capabilities(0);
    /// What is given to a rule that nobody granted anything.
    pub const ALERT: Capabilities = Capabilities::of(&[Capability::Alert]);

    /// The set of these.
    pub const fn of(all: &[Capability]) -> Capabilities {
        let (mut bits, mut at) = (0, 0);
        while at < all.len() {
            #[expect(clippy::indexing_slicing, reason = "bounded by the loop, at compile time")]
            let one = all[at];
            bits |= one.bit();
            at += 1;
        }
        Capabilities(bits)
    }

    /// All there are.
    pub const fn all() -> Capabilities {
        Capabilities::of(Capability::ALL)
    }

    /// Whether it has this one.
    pub fn has(self, one: Capability) -> bool {
        self.0 & one.bit() != 0
    }

    /// What it has and the other has not.
    #[must_use]
    pub fn without(self, other: Capabilities) -> Capabilities {
        Capabilities(self.0 & !other.0)
    }

    /// Whether an action may be carried out for a rule that has these. An unknown action may not.
    pub fn permits(self, action: &str) -> bool {
        Capability::for_action(action).is_some_and(|needed| self.has(needed))
    }

    /// Its members in the order of [`Capability::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        Capability::ALL.iter().copied().filter(move |one| self.has(*one))
    }

    /// Their words.
    pub fn words(self) -> Vec<&'static str> {
        self.iter().map(Capability::as_str).collect()
    }

    /// Whether it has none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for Capabilities {
    type Output = Capabilities;
    fn bitor(self, other: Capabilities) -> Capabilities {
        Capabilities(self.0 | other.0)
    }
}

impl BitAnd for Capabilities {
    type Output = Capabilities;
    fn bitand(self, other: Capabilities) -> Capabilities {
        Capabilities(self.0 & other.0)
    }
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<I: IntoIterator<Item = Capability>>(all: I) -> Capabilities {
        all.into_iter().fold(Capabilities::NONE, |set, one| Capabilities(set.0 | one.bit()))
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            out.write_str("none")
        } else {
            out.write_str(&self.words().join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_needs_its_own_capability_and_an_unknown_one_is_never_permitted() {
        let may = Capabilities::of(&[Capability::Alert, Capability::Kill]);
        assert!(may.permits("kill") && may.permits("kill_process") && may.permits("alert"));
        assert!(["kill-tree", "stop", "continue"].iter().all(|action| may.permits(action)));
        assert!(!Capabilities::ALERT.permits("stop"), "that needs the capability to kill");
        assert!(!may.permits("deny"), "another capability");
        let cuts = Capabilities::of(&[Capability::Isolate]);
        assert!(cuts.permits("isolate") && cuts.permits("isolate-host") && !cuts.permits("kill"));
        assert!(!Capabilities::all().permits("reboot"), "no such action");
    }

    #[test]
    fn sets_are_cut_and_joined() {
        let asked = Capabilities::of(&[Capability::Alert, Capability::Deny]);
        assert_eq!(asked & Capabilities::ALERT, Capabilities::ALERT);
        assert_eq!(asked.without(Capabilities::ALERT).words(), ["deny"]);
        assert_eq!((Capabilities::NONE | asked), asked);
        assert_eq!(Capabilities::NONE.to_string(), "none");
        assert_eq!(Capabilities::all().iter().count(), Capability::ALL.len());
        for one in Capability::ALL {
            assert_eq!(Capability::from_name(one.as_str()), Some(*one));
        }
    }
}
