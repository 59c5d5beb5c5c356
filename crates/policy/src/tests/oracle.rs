//! Policies read literally, rule by rule: what tables must agree with.

use std::collections::BTreeSet;
use std::net::IpAddr;

use model::policy::*;

use super::glob;
use super::host::{self, Image, Request, Thing};
use crate::Why;

/// What a process is to the oracle: all that it was, and which rules a deed has armed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Past {
    pub(crate) images: Vec<Image>,
    pub(crate) armed: BTreeSet<u32>,
}

/// A rule or list with its number, and whether it is carried out.
enum Said<'a> {
    Rule(u32, &'a Rule, bool),
    List(u32, &'a AllowList, bool),
}

fn number_of(said: &[Said<'_>]) -> u32 {
    said.len().try_into().unwrap()
}

pub(crate) struct Oracle<'a> {
    pub(crate) policies: &'a [Policy],
    pub(crate) mode: Mode,
    pub(crate) now: i64,
}

impl Oracle<'_> {
    fn said(&self) -> Vec<Said<'_>> {
        let mut all = Vec::new();
        for policy in self.policies {
            let enforced = policy.mode.unwrap_or(self.mode) == Mode::Enforce;
            let rules = (number_of(&all)..).zip(&policy.rules);
            all.extend(rules.map(|(number, rule)| Said::Rule(number, rule, enforced)));
            let lists = (number_of(&all)..).zip(&policy.allow_lists);
            all.extend(lists.map(|(number, list)| Said::List(number, list, enforced)));
        }
        all
    }

    fn rules(&self) -> Vec<(u32, &Rule, bool)> {
        let rules = self.said().into_iter().filter_map(|said| match said {
            Said::Rule(number, rule, enforced) => Some((number, rule, enforced)),
            Said::List(..) => None,
        });
        rules.collect()
    }

    fn asks(number: u32, rule: &Rule, past: &Past) -> bool {
        if rule.after.is_some() { past.armed.contains(&number) } else { fits(&rule.subject, past) }
    }

    /// Rules that say something about a request, and still count.
    fn about(&self, past: &Past, request: &Request, op: Operation, all: bool) -> Vec<(u32, &Rule)> {
        let rules = self.rules().into_iter().filter(|(number, rule, enforced)| {
            let over = rule.exception.as_ref().is_some_and(|one| one.until <= self.now);
            (all || *enforced)
                && !over
                && rule.operations.has(op)
                && Oracle::asks(*number, rule, past)
                && rule.objects.iter().any(|object| Oracle::object(object, request, denies(rule)))
        });
        rules.map(|(number, rule, _)| (number, rule)).collect()
    }

    pub(crate) fn decide(&self, past: &Past, request: &Request, all: bool) -> (Verdict, Why) {
        let about = |op| self.about(past, request, op, all);
        let now = about(request.operation);
        let excepts = |rules: &[(u32, &Rule)]| {
            rules.iter().find(|one| one.1.exception.is_some()).map(|one| one.0)
        };
        if let Some(number) = excepts(&now) {
            return (Verdict::Allow, Why::Rule(number));
        }
        if let Some((verdict, number)) = strongest(&now) {
            return (verdict, Why::Rule(number));
        }
        if let Some(rule) = now.iter().find(|one| one.1.verdict == Verdict::Allow) {
            return (Verdict::Allow, Why::Rule(rule.0));
        }
        let sources: &[Operation] = match request.operation {
            Operation::Link | Operation::Rename => &[Operation::Read, Operation::Write],
            Operation::Create | Operation::Delete | Operation::Attributes => &[Operation::Write],
            _ => &[],
        };
        for source in sources {
            let rules = about(*source);
            if excepts(&rules).is_none()
                && let Some((verdict, number)) = strongest(&rules)
            {
                return (verdict, Why::Implied(number));
            }
        }
        let lists = self.said().into_iter().filter_map(|said| match said {
            Said::List(number, list, enforced) if all || enforced => {
                let limits = list.operations.has(request.operation) && fits(&list.subject, past);
                limits.then_some((list.errno as u8, number, list.errno))
            }
            _ => None,
        });
        match lists.min_by_key(|one| (one.0, one.1)) {
            Some((_, number, errno)) => (Verdict::Deny(errno), Why::List(number)),
            None => (Verdict::Allow, Why::Default),
        }
    }

    pub(crate) fn audits(&self, past: &Past, request: &Request) -> Vec<u32> {
        let rules = self.about(past, request, request.operation, true).into_iter();
        let audits =
            rules.filter(|one| one.1.verdict == Verdict::Audit && one.1.exception.is_none());
        audits.map(|one| one.0).collect()
    }

    /// What an allowed request arms.
    pub(crate) fn arms(&self, past: &Past, request: &Request) -> Vec<u32> {
        let fired = self.rules().into_iter().filter(|(_, rule, _)| {
            fits(&rule.subject, past)
                && rule.after.as_ref().is_some_and(|after| {
                    after.operations.has(request.operation)
                        && after.objects.iter().any(|object| Oracle::object(object, request, false))
                })
        });
        fired.map(|one| one.0).collect()
    }

    fn object(object: &Object, request: &Request, denies: bool) -> bool {
        match (object, &request.thing) {
            (Object::Any, _) => true,
            (Object::Path(pattern), Thing::Path(path)) => glob::fits(pattern, path),
            (Object::Hash(hash), Thing::Hash(other)) => hash == other,
            (Object::Capability(number), Thing::Capability(other)) => number == other,
            (Object::CreatedBy(subject), Thing::CreatedBy(past))
            | (Object::Process(subject), Thing::Process(past)) => fits(subject, past),
            (Object::Peer(wanted), Thing::Peer(peer, _)) => {
                let protocol = |one: u16| if one == 262 { 6 } else { one };
                wanted.protocol.is_none_or(|one| protocol(one) == protocol(peer.protocol))
                    && within(wanted.ports, peer.port)
                    && wanted.network.is_none_or(|network| {
                        inside(network, peer.address, request.operation, denies)
                    })
            }
            (Object::Domain { name, ports }, Thing::Peer(peer, names)) => {
                names.contains(name) && within(*ports, peer.port)
            }
            _ => false,
        }
    }
}

fn denies(rule: &Rule) -> bool {
    rule.exception.is_none() && matches!(rule.verdict, Verdict::Deny(_) | Verdict::Kill)
}

fn within(ports: Option<(u16, u16)>, port: u16) -> bool {
    ports.is_none_or(|(low, high)| (low..=high).contains(&port))
}

/// Kill before any errno, errnos in their order, then the rule that was read first.
fn strongest(rules: &[(u32, &Rule)]) -> Option<(Verdict, u32)> {
    let rank = |rule: &Rule| match rule.verdict {
        Verdict::Kill => Some(0),
        Verdict::Deny(errno) => Some(1 + errno as u8),
        _ => None,
    };
    let denials = rules.iter().filter(|one| one.1.exception.is_none());
    let ranked = denials.filter_map(|(number, rule)| Some((rank(rule)?, *number, rule.verdict)));
    ranked.min_by_key(|one| (one.0, one.1)).map(|one| (one.2, one.1))
}

fn four(address: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = address else { return address };
    let translated = six.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0];
    let octets = six.octets();
    match six.to_ipv4_mapped() {
        Some(four) => four.into(),
        None if translated => IpAddr::from([octets[12], octets[13], octets[14], octets[15]]),
        None => address,
    }
}

fn inside((network, prefix): (IpAddr, u8), address: IpAddr, op: Operation, denies: bool) -> bool {
    let mut address = four(address);
    let (net, prefix) = match (network, four(network)) {
        (IpAddr::V6(_), IpAddr::V4(net)) if prefix >= 96 => (IpAddr::V4(net), prefix - 96),
        _ => (network, prefix),
    };
    if address.is_unspecified() {
        if matches!(op, Operation::Bind | Operation::Listen) {
            if denies && (address.is_ipv6() || net.is_ipv4()) {
                return true;
            }
        } else {
            address = if address.is_ipv4() {
                "127.0.0.1".parse().unwrap()
            } else {
                "::1".parse().unwrap()
            };
        }
    }
    let bits = |address: IpAddr| -> Vec<bool> {
        let bytes = match address {
            IpAddr::V4(four) => four.octets().to_vec(),
            IpAddr::V6(six) => six.octets().to_vec(),
        };
        bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1)).collect()
    };
    let prefix = usize::from(prefix);
    address.is_ipv4() == net.is_ipv4() && bits(address)[..prefix] == bits(net)[..prefix]
}

/// Whether a process is such a subject, or was started by one.
pub(crate) fn fits(subject: &Subject, past: &Past) -> bool {
    let images = &past.images;
    let first = if subject.descendants { 0 } else { images.len().saturating_sub(1) };
    (first..images.len()).any(|at| image_fits(subject, &images[at], &images[..at]))
}

fn image_fits(subject: &Subject, image: &Image, before: &[Image]) -> bool {
    let holds = |patterns: &[String], path: &str| {
        patterns.iter().any(|pattern| glob::fits(pattern, path.as_bytes()))
    };
    let places = |ids: Vec<u64>| ids.contains(&image.cgroup);
    let s = subject;
    (s.executables.is_empty() || holds(&s.executables, image.executable))
        && (s.scripts.is_empty() || image.script.is_some_and(|script| holds(&s.scripts, script)))
        && (s.hashes.is_empty() || s.hashes.contains(&image.hash))
        && (s.users.is_empty() || s.users.iter().any(|name| host::user(name) == Some(image.user)))
        && (s.groups.is_empty()
            || s.groups
                .iter()
                .any(|name| host::group(name).is_some_and(|id| image.groups.contains(&id))))
        && (s.cgroups.is_empty() || s.cgroups.iter().any(|path| places(host::cgroups(path))))
        && (s.units.is_empty() || s.units.iter().any(|unit| places(host::units(unit))))
        && (s.containers.is_empty() || s.containers.iter().any(|one| places(host::containers(one))))
        && (s.ancestors.is_empty() || before.iter().any(|one| holds(&s.ancestors, one.executable)))
        && s.login_session.is_none_or(|login| login == image.login)
}
