//! Which addresses the names of policies have now.
//!
//! | module | does |
//! |---|---|
//! | [`listening`] | learns from the answers that name servers gave to anybody on this host |
//! | [`message`] | reads them, as nobody |
//! | [`servers`] | whose answers count |
//! | [`asking`] | asks the host's own resolver for names without a wildcard, as nobody |
//!
//! What was heard counts for the time to live that the name server gave it; what the resolver said, which
//! tells no such time, for an hour after it did last: names with many addresses give some of them at a time.
//! Whoever on this host got an answer, the address counts for every rule about the name.

mod asking;
mod listening;
mod message;
mod servers;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use policy::domain;
use serde_json::Value as Json;

use asking::Asking;
pub(crate) use asking::{as_nobody, resolve};
use listening::{Heard, Listener};
pub(crate) use message::read as read_answers;

/// Between two questions for all names.
const PERIOD: Duration = Duration::from_secs(15);
/// How long an address counts that the resolver does not give any more.
const KEPT: Duration = Duration::from_hours(1);
/// How long an address counts at least that was heard: programs use one a little longer than it holds.
const HEARD_MIN: Duration = Duration::from_mins(1);
/// And at most: who gives it for a longer time is asked again before, or the host was started anew.
const HEARD_MAX: Duration = Duration::from_hours(24);
/// Addresses of one name that are taken from one answer.
const ADDRESSES_MAX: usize = 64;
/// Addresses of one domain of a policy that count at the same time: below a wildcard, others make names
/// as they like, and may not push out those of all other domains.
const OF_ONE_MAX: usize = 1_024;
/// Addresses of all domains that count at the same time.
const KNOWN_MAX: usize = 4_096;
/// After a change of what is in force: the first of many answers counts at once, the others together.
const PAUSE: Duration = Duration::from_millis(200);
/// The same as a multiple of the time that the change took, so that a flood of answers does not keep the
/// guard from everything else.
const PAUSE_SHARE: u32 = 4;

/// Addresses of names.
#[derive(Debug, Default)]
pub(super) struct Domains {
    /// As policies write them, with or without a wildcard.
    wanted: Vec<String>,
    /// Addresses of each, and until when they count.
    known: BTreeMap<String, BTreeMap<IpAddr, Instant>>,
    /// Addresses that were pushed out.
    forgotten: u64,
    /// Whether others count than were told, and before when nobody is told.
    differs: bool,
    quiet: Option<Instant>,
    asking: Option<Asking>,
    next: Option<Instant>,
    listener: Listener,
}

impl Domains {
    /// From now on these names are of interest, and no others.
    pub(super) fn want<'n>(&mut self, names: impl Iterator<Item = &'n str> + Clone) {
        // Asked several times a second, and nearly always for the same.
        if !names.clone().eq(self.wanted.iter().map(String::as_str)) {
            // What is in force with other names may hold addresses that were over since.
            self.differs |= !self.wanted.is_empty();
            self.wanted = names.map(str::to_owned).collect();
            self.known.retain(|name, _| self.wanted.contains(name));
            self.asking = None;
            self.next = None;
        }
        if self.wanted.is_empty() {
            self.listener.end();
        }
    }

    /// The addresses of a name that count now.
    pub(super) fn of(&self, name: &str) -> impl Iterator<Item = IpAddr> {
        self.known.get(name).into_iter().flat_map(|known| known.keys().copied())
    }

    /// Takes what was heard, and asks when it is time to. Whether other addresses count than this said
    /// before.
    pub(super) fn follow(&mut self, now: Instant) -> bool {
        if self.wanted.is_empty() {
            return false;
        }
        for heard in self.listener.follow(now) {
            self.hear(&heard, now);
        }
        if let Some(text) = self.asked(now) {
            self.take(&text, now);
        }
        self.expire(now);
        let tells = self.differs && self.quiet.is_none_or(|quiet| quiet <= now);
        self.differs &= !tells;
        tells
    }

    /// What changed since was put in force, which began and ended then.
    pub(super) fn told(&mut self, (began, ended): (Instant, Instant)) {
        let took = ended.saturating_duration_since(began);
        self.quiet = Some(ended + PAUSE.max(took * PAUSE_SHARE));
    }

    /// What is worth to follow at once when it can be read.
    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.listener.fds()
    }

    /// For `policy show`: how many addresses count, and what became of answers.
    pub(super) fn document(&self) -> Json {
        serde_json::json!({
            "addresses": self.len(),
            "forgotten": self.forgotten,
            "answers": self.listener.document(),
        })
    }

    /// What the resolver answered, when it did; asks it when it is time to.
    fn asked(&mut self, now: Instant) -> Option<String> {
        if let Some(mut asking) = self.asking.take() {
            match asking.answer(now) {
                Ok(Some(text)) => return Some(text),
                Ok(None) => self.asking = Some(asking),
                Err(error) => tracing::warn!(%error, "names of policies are not resolved"),
            }
        } else if self.next.is_none_or(|next| next <= now) {
            self.next = Some(now + PERIOD);
            let names = self.wanted.iter().map(String::as_str);
            let names: Vec<&str> = names.filter(|name| !domain::is_wild(name)).collect();
            if names.is_empty() {
                return None;
            }
            match Asking::begin(&names, now) {
                Ok(asking) => self.asking = Some(asking),
                Err(error) => tracing::warn!(%error, "names of policies cannot be resolved"),
            }
        }
        None
    }

    /// Takes what the resolver said: a line is a name and an address.
    fn take(&mut self, text: &str, now: Instant) {
        for (name, address) in text.lines().filter_map(|line| line.split_once(' ')) {
            let Ok(address) = address.parse::<IpAddr>() else { continue };
            if self.wanted.iter().any(|wanted| wanted == name) {
                self.keep(name, address, now + KEPT);
            }
        }
    }

    /// Takes what a name server answered to somebody.
    fn hear(&mut self, heard: &Heard, now: Instant) {
        let until = now + heard.ttl.clamp(HEARD_MIN, HEARD_MAX);
        let meant = self.wanted.iter().filter(|wanted| domain::means(wanted, &heard.name));
        for wanted in meant.cloned().collect::<Vec<String>>() {
            self.keep(&wanted, heard.address, until);
        }
    }

    /// Lets an address of a domain count until then, or longer if it does anyway. Where there are too
    /// many, who would be over first is forgotten.
    fn keep(&mut self, wanted: &str, address: IpAddr, until: Instant) {
        let known = self.known.entry(wanted.to_owned()).or_default();
        if let Some(known) = known.get_mut(&address) {
            *known = until.max(*known);
            return;
        }
        if known.len() >= OF_ONE_MAX {
            self.forget(Some(wanted));
        } else if self.len() >= KNOWN_MAX {
            self.forget(None);
        }
        self.differs = true;
        self.known.entry(wanted.to_owned()).or_default().insert(address, until);
    }

    /// Forgets the address of a domain, or of any, that would be over first.
    fn forget(&mut self, of: Option<&str>) {
        let known = self.known.iter_mut().filter(|known| of.is_none_or(|of| known.0 == of));
        let first = known.filter_map(|(name, known)| {
            let (address, until) = known.iter().min_by_key(|one| *one.1)?;
            Some((*until, *address, name, known))
        });
        let Some((_, address, domain, known)) = first.min_by_key(|one| one.0) else { return };
        known.remove(&address);
        if self.forgotten == 0 {
            tracing::warn!(domain, "a domain has too many addresses: some are forgotten");
        }
        self.forgotten += 1;
    }

    fn expire(&mut self, now: Instant) {
        let before = self.len();
        self.known.values_mut().for_each(|known| known.retain(|_, until| now < *until));
        self.differs |= self.len() != before;
    }

    fn len(&self) -> usize {
        self.known.values().map(BTreeMap::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domains(names: &[&str]) -> Domains {
        let mut domains = Domains::default();
        domains.want(names.iter().copied());
        domains
    }

    fn of(domains: &Domains, name: &str) -> Vec<String> {
        domains.of(name).map(|address| address.to_string()).collect()
    }

    fn hear(domains: &mut Domains, name: &str, address: &str, ttl: u64, now: Instant) {
        let (name, address) = (name.to_owned(), address.parse().unwrap());
        domains.hear(&Heard { name, address, ttl: Duration::from_secs(ttl) }, now);
    }

    #[test]
    fn what_the_resolver_says_counts_for_a_while_and_only_for_names_that_are_wanted() {
        let mut domains = domains(&["a.test", "b.test"]);
        let start = Instant::now();
        let answer = "a.test 192.0.2.1\nb.test 2001:db8::1\nc.test 192.0.2.9\na.test rubbish\nx";
        domains.take(answer, start);
        assert_eq!(of(&domains, "a.test"), ["192.0.2.1"]);
        assert_eq!(of(&domains, "b.test"), ["2001:db8::1"]);
        assert!(of(&domains, "c.test").is_empty());
        assert!(std::mem::take(&mut domains.differs));
        domains.take(answer, start);
        assert!(!domains.differs, "nothing new");
        domains.take("a.test 192.0.2.2\n", start + KEPT / 2);
        assert!(domains.differs);
        assert_eq!(of(&domains, "a.test"), ["192.0.2.1", "192.0.2.2"]);
        domains.expire(start + KEPT);
        assert_eq!(of(&domains, "a.test"), ["192.0.2.2"], "what was not given again is over");
        domains.differs = false;
        domains.want(["b.test"].into_iter());
        assert!(of(&domains, "a.test").is_empty());
        assert!(domains.differs, "what was put in force with other names is looked at once more");
    }

    #[test]
    fn what_is_heard_counts_for_its_time_to_live_within_bounds() {
        let wild = "*.a.test";
        let mut domains = domains(&[wild, "www.a.test", "a.test"]);
        let start = Instant::now();
        hear(&mut domains, "www.a.test", "192.0.2.1", 300, start);
        assert_eq!(of(&domains, wild), ["192.0.2.1"]);
        assert_eq!(of(&domains, "www.a.test"), ["192.0.2.1"], "for both that mean it");
        assert!(of(&domains, "a.test").is_empty());
        hear(&mut domains, "a.test", "192.0.2.2", 0, start);
        hear(&mut domains, "other.test", "192.0.2.3", 300, start);
        assert_eq!(of(&domains, wild), ["192.0.2.1"], "neither itself nor a stranger");
        hear(&mut domains, "x.a.test", "192.0.2.4", u64::from(u32::MAX), start);
        hear(&mut domains, "www.a.test", "192.0.2.1", 60, start);
        let mut after = |time: Duration| {
            domains.expire(start + time);
            (of(&domains, wild), of(&domains, "a.test"))
        };
        let soon = |time: Duration| time.saturating_sub(Duration::from_secs(1));
        let both = vec!["192.0.2.1".to_owned(), "192.0.2.4".to_owned()];
        let minute = after(soon(HEARD_MIN));
        assert_eq!(minute, (both.clone(), vec!["192.0.2.2".to_owned()]));
        assert_eq!(after(HEARD_MIN), (both.clone(), vec![]), "a TTL of 0");
        assert_eq!(after(Duration::from_secs(299)).0, both, "the longer time counts");
        assert_eq!(after(Duration::from_mins(5)).0, ["192.0.2.4"]);
        assert_eq!(after(soon(HEARD_MAX)).0, ["192.0.2.4"]);
        assert!(after(HEARD_MAX).0.is_empty(), "136 years are too long");
    }

    #[test]
    fn a_flood_of_names_pushes_out_nothing_of_other_domains() {
        let mut domains = domains(&["*.a.test", "*.b.test"]);
        let start = Instant::now();
        hear(&mut domains, "www.b.test", "192.0.2.1", 300, start);
        hear(&mut domains, "www.a.test", "192.0.2.2", 300, start);
        for n in 0..10_000_u32 {
            let address = std::net::Ipv6Addr::from_bits((0x2001_0db8 << 96) + u128::from(n));
            hear(&mut domains, &format!("n{n}.a.test"), &address.to_string(), 600, start);
        }
        assert_eq!(of(&domains, "*.b.test"), ["192.0.2.1"]);
        assert_eq!(domains.len(), OF_ONE_MAX + 1);
        assert!(!of(&domains, "*.a.test").contains(&"192.0.2.2".to_owned()), "it was over first");
        let same = domains.len();
        domains.differs = false;
        for n in 0..10_000 {
            hear(&mut domains, &format!("n{n}.b.test"), "192.0.2.1", 300, start);
        }
        assert!(!domains.differs && domains.len() == same, "names alone change nothing");
    }

    #[test]
    fn more_addresses_than_there_is_room_for_push_out_the_oldest() {
        let names: Vec<String> = (0..5).map(|n| format!("{n}.test")).collect();
        let mut domains = domains(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let start = Instant::now();
        domains.take("0.test 192.0.2.1\n", start);
        for name in &names {
            let many = (1..OF_ONE_MAX).map(|n| format!("{name} 2001:db8::{n:x}"));
            let many = many.collect::<Vec<_>>().join("\n");
            domains.take(&many, start + Duration::from_secs(1));
        }
        assert_eq!(domains.len(), KNOWN_MAX);
        assert!(!of(&domains, "0.test").contains(&"192.0.2.1".to_owned()));
    }
}
