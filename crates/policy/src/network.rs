//! Addresses, ports and protocols as labels.
//!
//! A network has a class: all rules of the networks around it. A class is a list of ranges of
//! (protocol, port), each with its label. A peer has the label of its network's class and that of
//! the class of all rules that name no network; a name's addresses, once they are known, have the
//! class of that name. So nothing is multiplied out: not networks by ports, not names by networks.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::policy::Operation;

use crate::error::{Error, number};
use crate::labels::{Claim, Labels};
use crate::limits::{PROTOCOLS_MAX, RANGES_MAX};

/// The class without rules.
pub const NO_CLASS: u32 = 0;
/// The class of rules that name no network: it is every peer's.
pub const EVERY_PEER: u32 = 1;

/// A network and its class. Addresses of version 4 are in the last 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Net {
    /// Bits of the address that count.
    pub prefix: u8,
    /// The address, other bits 0.
    pub address: u128,
    /// Its class, with all that is inherited from networks around it.
    pub class: u32,
}

/// A range of keys and its label; see [`Network::key`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    /// First key.
    pub first: u32,
    /// Last key.
    pub last: u32,
    /// The label.
    pub label: u32,
}

/// Labels of peers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// Networks of version 4, in order.
    pub v4: Vec<Net>,
    /// Networks of version 6, in order.
    pub v6: Vec<Net>,
    /// Protocols that rules tell apart, in order.
    pub protocols: Vec<u16>,
    /// Where the ranges of each class begin, one more than classes.
    pub classes: Vec<u32>,
    /// Ranges, within a class in order and apart from each other.
    pub ranges: Vec<Range>,
}

/// The other side of a request, or this side for bind and listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Its address.
    pub address: IpAddr,
    /// Its port, 0 if the protocol has none.
    pub port: u16,
    /// The protocol, as `IPPROTO_TCP`.
    pub protocol: u16,
}

/// MPTCP is TCP to everybody but the socket that asked for it.
const MPTCP: u16 = 262;
/// TCP.
const TCP: u16 = 6;
/// What is in front of an address of version 4 that a socket of version 6 uses.
const MAPPED: [u16; 6] = [0, 0, 0, 0, 0, 0xffff];
/// What is in front of one that a translator reaches (RFC 6052).
const TRANSLATED: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];
/// Bits in front of an address of version 4 that is written as one of version 6.
const MAPPED_BITS: u8 = 96;

/// The form in which an address is looked up: mapped addresses and those that a translator will
/// turn into version 4 are addresses of version 4.
pub fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(six) => {
            let [front @ .., high, low] = six.segments();
            if front == MAPPED || front == TRANSLATED {
                IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
            } else {
                address
            }
        }
    }
}

/// Where a request really goes: to connect to no address is to connect to this host.
pub fn destination(address: IpAddr, operation: Operation) -> IpAddr {
    let address = plain(address);
    let local = matches!(operation, Operation::Bind | Operation::Listen);
    match address {
        _ if local || !address.is_unspecified() => address,
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    }
}

fn number_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(four) => u128::from(four.to_bits()),
        IpAddr::V6(six) => six.to_bits(),
    }
}

fn mask(address: u128, prefix: u8, bits: u8) -> u128 {
    let all = if bits == 32 { u128::from(u32::MAX) } else { u128::MAX };
    let cut = u32::from(bits.saturating_sub(prefix));
    address & all.checked_shr(cut).unwrap_or(0).checked_shl(cut).unwrap_or(0)
}

/// Where the class of addresses changes: from each address on to the next one its class holds.
/// This is what the kernel half searches; which network is the longest one was decided here.
pub(crate) fn steps(nets: &[Net], bits: u8) -> Vec<(u128, u32)> {
    let mut nets = nets.to_vec();
    nets.sort_unstable_by_key(|net| (net.address, net.prefix));
    let most = mask(u128::MAX, bits, bits);
    let mut steps = vec![(0, NO_CLASS)];
    // Last addresses and classes of the networks around the place that was reached.
    let mut around: Vec<(u128, u32)> = Vec::new();
    for net in &nets {
        close(&mut steps, &mut around, Some(net.address));
        step(&mut steps, net.address, net.class);
        let own = most.checked_shr(net.prefix.into()).unwrap_or(0);
        around.push((net.address | own, net.class));
    }
    close(&mut steps, &mut around, None);
    steps.retain(|one| one.0 <= most);
    steps
}

/// Ends the networks that do not reach this address.
fn close(steps: &mut Vec<(u128, u32)>, around: &mut Vec<(u128, u32)>, next: Option<u128>) {
    while let Some((last, _)) = around.pop_if(|one| next.is_none_or(|next| one.0 < next)) {
        let outer = around.last().map_or(NO_CLASS, |one| one.1);
        if let Some(behind) = last.checked_add(1) {
            step(steps, behind, outer);
        }
    }
}

/// Adds a step; of several at the same address the last one counts.
fn step(steps: &mut Vec<(u128, u32)>, first: u128, class: u32) {
    steps.pop_if(|one| one.0 == first);
    if steps.last().is_none_or(|one| one.1 != class) {
        steps.push((first, class));
    }
}

impl Network {
    /// Protocol and port as one number: the place of the protocol among those that rules name, 0
    /// for others, above the port.
    pub fn key(&self, port: u16, protocol: u16) -> u32 {
        let protocol = if protocol == MPTCP { TCP } else { protocol };
        let place = self.protocols.binary_search(&protocol).map_or(0, |at| number(at) + 1);
        place << 16 | u32::from(port)
    }

    /// The class of an address, by its longest network.
    pub fn class(&self, address: IpAddr) -> u32 {
        let (nets, bits) = match address {
            IpAddr::V4(_) => (&self.v4, 32),
            IpAddr::V6(_) => (&self.v6, 128),
        };
        let address = number_of(address);
        let longest = (0..=bits).rev().find_map(|prefix| {
            let wanted = (prefix, mask(address, prefix, bits));
            let at = nets.binary_search_by_key(&wanted, |net| (net.prefix, net.address)).ok()?;
            nets.get(at)
        });
        longest.map_or(NO_CLASS, |net| net.class)
    }

    /// The ranges of a class.
    pub fn of_class(&self, class: u32) -> &[Range] {
        let at = class as usize;
        let first = self.classes.get(at).map_or(0, |first| *first as usize);
        let end = self.classes.get(at + 1).map_or(0, |end| *end as usize);
        self.ranges.get(first..end).unwrap_or_default()
    }

    /// Adds a range to the class that is being made, which begins there; one that says nothing is left
    /// out.
    pub(crate) fn push(&mut self, begins: usize, range: Range) -> Result<(), Error> {
        if range.label == 0 {
            return Ok(());
        }
        if self.ranges.len() >= RANGES_MAX {
            return Err(Error::TooMany {
                what: "ranges of ports",
                max: RANGES_MAX,
                found: self.ranges.len() + 1,
                advice: "use fewer networks inside of each other, or fewer ports with each",
            });
        }
        let own = self.ranges.len() > begins;
        match self.ranges.last_mut() {
            Some(last) if own && last.label == range.label && last.last + 1 == range.first => {
                last.last = range.last;
            }
            _ => self.ranges.push(range),
        }
        Ok(())
    }

    /// The label of a key in a class.
    pub fn label(&self, class: u32, key: u32) -> u32 {
        let ranges = self.of_class(class);
        let place = ranges.partition_point(|range| range.last < key);
        ranges.get(place).filter(|range| range.first <= key).map_or(0, |range| range.label)
    }

    /// The labels of an endpoint, 0 left out. `names` are the classes of the names that resolved to
    /// the address.
    pub fn labels<'a>(
        &'a self,
        endpoint: &Endpoint,
        operation: Operation,
        names: &'a [u32],
    ) -> impl Iterator<Item = u32> + 'a {
        let key = self.key(endpoint.port, endpoint.protocol);
        let class = self.class(destination(endpoint.address, operation));
        let classes = [EVERY_PEER, class].into_iter().chain(names.iter().copied());
        classes.map(move |class| self.label(class, key)).filter(|label| *label != 0)
    }
}

/// What a rule asks of ports and protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Service {
    ports: Option<(u16, u16)>,
    protocol: Option<u16>,
    claim: Claim,
}

/// Gathers what rules say of peers.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    every: BTreeSet<Service>,
    v4: BTreeMap<(u128, u8), BTreeSet<Service>>,
    v6: BTreeMap<(u128, u8), BTreeSet<Service>>,
    names: BTreeMap<String, BTreeSet<Service>>,
    protocols: BTreeSet<u16>,
}

/// A network of a rule, as it was written.
pub(crate) struct Asked {
    pub(crate) network: Option<(IpAddr, u8)>,
    pub(crate) ports: Option<(u16, u16)>,
    pub(crate) protocol: Option<u16>,
    pub(crate) claim: Claim,
    /// Whether it denies: then it is also about this side's "any address", which includes each.
    pub(crate) denies: bool,
}

impl Builder {
    /// Adds what a rule asks. The error is how many bits the address has.
    pub(crate) fn peer(&mut self, asked: &Asked) -> Result<(), u8> {
        let protocol = asked.protocol.map(|one| if one == MPTCP { TCP } else { one });
        self.protocols.extend(protocol);
        let service = Service { ports: asked.ports, protocol, claim: asked.claim };
        let Some((address, prefix)) = asked.network else {
            self.every.insert(service);
            return Ok(());
        };
        let bits = if address.is_ipv4() { 32 } else { 128 };
        if prefix > bits {
            return Err(bits);
        }
        let address = match plain(address) {
            four if four.is_ipv4() != address.is_ipv4() && prefix < MAPPED_BITS => address,
            other => other,
        };
        let (nets, prefix, bits) = match address {
            IpAddr::V4(_) if bits == 128 => (&mut self.v4, prefix - MAPPED_BITS, 32),
            IpAddr::V4(_) => (&mut self.v4, prefix, 32),
            IpAddr::V6(_) => (&mut self.v6, prefix, 128),
        };
        let network = mask(number_of(address), prefix, bits);
        nets.entry((network, prefix)).or_default().insert(service);
        if asked.denies {
            // A socket of version 6 that is bound to any address is so for version 4 too.
            self.v6.entry((0, 128)).or_default().insert(service);
            if bits == 32 {
                self.v4.entry((0, 32)).or_default().insert(service);
            }
        }
        Ok(())
    }

    /// Adds a name whose addresses will be known later.
    pub(crate) fn name(&mut self, name: &str, ports: Option<(u16, u16)>, claim: Claim) {
        let service = Service { ports, protocol: None, claim };
        self.names.entry(name.to_owned()).or_default().insert(service);
    }

    /// Builds the tables, and says which class each name has.
    pub(crate) fn build(
        mut self,
        labels: &mut Labels,
    ) -> Result<(Network, Vec<(String, u32)>), Error> {
        let protocols: Vec<u16> = std::mem::take(&mut self.protocols).into_iter().collect();
        if protocols.len() > PROTOCOLS_MAX {
            return Err(Error::TooMany {
                what: "protocols of networks",
                max: PROTOCOLS_MAX,
                found: protocols.len(),
                advice: "leave the protocol out where the port says enough",
            });
        }
        let network = Network { protocols, classes: vec![0], ..Network::default() };
        let mut classes = Classes { network, known: HashMap::new(), labels };
        classes.add(&BTreeSet::new())?;
        classes.add_as_new(&self.every)?;
        classes.network.v4 = classes.nets(&self.v4, 32)?;
        classes.network.v6 = classes.nets(&self.v6, 128)?;
        let mut names = Vec::new();
        for (name, services) in self.names {
            names.push((name, classes.add(&services)?));
        }
        Ok((classes.network, names))
    }
}

struct Classes<'a> {
    network: Network,
    known: HashMap<BTreeSet<Service>, u32>,
    labels: &'a mut Labels,
}

impl Classes<'_> {
    /// Gives each network the services of all networks around it.
    fn nets(
        &mut self,
        nets: &BTreeMap<(u128, u8), BTreeSet<Service>>,
        bits: u8,
    ) -> Result<Vec<Net>, Error> {
        let mut all = Vec::with_capacity(nets.len());
        let mut around: Vec<(u128, u8, BTreeSet<Service>)> = Vec::new();
        // In this order a network comes after all that are around it.
        for ((address, prefix), services) in nets {
            while around.last().is_some_and(|(outer, len, _)| {
                *len >= *prefix || mask(*address, *len, bits) != *outer
            }) {
                around.pop();
            }
            let mut services = services.clone();
            if let Some((_, _, outer)) = around.last() {
                services.extend(outer);
            }
            let class = self.add(&services)?;
            all.push(Net { prefix: *prefix, address: *address, class });
            around.push((*address, *prefix, services));
        }
        all.sort_unstable();
        Ok(all)
    }

    fn add(&mut self, services: &BTreeSet<Service>) -> Result<u32, Error> {
        match self.known.get(services) {
            Some(known) => Ok(*known),
            None => self.add_as_new(services),
        }
    }

    fn add_as_new(&mut self, services: &BTreeSet<Service>) -> Result<u32, Error> {
        let class = number(self.network.classes.len() - 1);
        let places = 0..=number(self.network.protocols.len());
        let first = self.network.ranges.len();
        for place in places {
            self.ranges(place, services, first)?;
        }
        let end = number(self.network.ranges.len());
        self.network.classes.push(end);
        self.known.insert(services.clone(), class);
        Ok(class)
    }

    /// Adds the ranges of one protocol; `first` is where the class begins.
    fn ranges(
        &mut self,
        place: u32,
        services: &BTreeSet<Service>,
        first: usize,
    ) -> Result<(), Error> {
        let protocol = place.checked_sub(1).and_then(|at| self.network.protocols.get(at as usize));
        let fits = |service: &&Service| {
            service.protocol.is_none_or(|wanted| Some(&wanted) == protocol)
                && service.ports.is_none_or(|(low, high)| low <= high)
        };
        // Where a claim begins (true) and the first port behind its end (false).
        let mut edges: Vec<(u32, bool, Claim)> = Vec::new();
        for service in services.iter().filter(fits) {
            let (low, high) = service.ports.unwrap_or((0, u16::MAX));
            edges.push((u32::from(low), true, service.claim));
            edges.push((u32::from(high) + 1, false, service.claim));
        }
        edges.sort_unstable();
        // A rule may name a port twice, so claims are counted.
        let mut active: BTreeMap<Claim, u32> = BTreeMap::new();
        let mut edges = edges.into_iter().peekable();
        while let Some((port, begins, claim)) = edges.next() {
            let count = active.entry(claim).or_default();
            *count = if begins { *count + 1 } else { count.saturating_sub(1) };
            if *count == 0 && !begins {
                active.remove(&claim);
            }
            let Some((next, _, _)) = edges.peek().filter(|edge| edge.0 > port) else { continue };
            let claims = active.iter().filter(|one| *one.1 > 0).map(|one| *one.0).collect();
            let label = self.labels.holds(claims)?;
            let range = Range { first: place << 16 | port, last: place << 16 | (next - 1), label };
            self.network.push(first, range)?;
        }
        Ok(())
    }
}
