//! A condition as rules of policies: who does what to which things. What cannot be said so is named.

use std::net::IpAddr;

use model::field::{self, FieldId};
use model::op::Kind;
use model::partial;
use model::policy::{Object, Operation, Operations, Peer, Subject};
use model::program::{Expr, Filter, Literal, Order, Place, Program, Test};
use model::{action, action::Action};

use super::paths::{self, Of, Token};
use crate::fmt::{expression, field_name};

/// Cases of one condition: each is a rule of its own.
const CASES_MAX: usize = 64;
/// Objects of one case.
const OBJECTS_MAX: usize = 1_000;

/// One case of a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Who asks.
    pub subject: Subject,
    /// For what.
    pub operations: Operations,
    /// Of what.
    pub objects: Vec<Object>,
}

/// What keeps a condition out of the kernel.
#[derive(Debug)]
pub(super) struct Obstacle {
    pub(super) because: String,
    pub(super) reason: String,
}

/// All cases in which the condition holds, for all operations that it is about.
pub(super) fn cases(filter: &Filter, program: &Program) -> Result<Vec<Case>, Obstacle> {
    let whole =
        |reason: String| Obstacle { because: expression(&filter.condition, program), reason };
    let kinds = filter.kinds();
    let mut all: Vec<Case> = Vec::new();
    let mut late = None;
    for kind in Kind::ALL.iter().copied().filter(|kind| kinds.contains(*kind)) {
        let words = action::of(kind);
        let reader = Reader { kind, words: &words, program };
        // What a predicate asks is more to the point than what an operation is like.
        let found = reader.alternatives(&filter.condition, false)?;
        if found.is_empty() {
            continue;
        }
        match operations(kind) {
            Ok(operations) => {
                for conjunction in found {
                    if let Some(case) = reader.draft(&conjunction, operations)? {
                        merge(&mut all, case);
                    }
                }
            }
            Err(why) => late = late.or(Some((kind, why))),
        }
    }
    if let Some((kind, why)) = late {
        return Err(whole(format!("it is also about `{}`, {why}", kind.name())));
    }
    if all.len() > CASES_MAX {
        return Err(whole(format!("it has more than {CASES_MAX} cases")));
    }
    Ok(all)
}

/// Cases that differ in one part only are one.
fn merge(all: &mut Vec<Case>, case: Case) {
    for known in &mut *all {
        if known.subject == case.subject && known.objects == case.objects {
            known.operations.0 |= case.operations.0;
            return;
        }
        if known.subject == case.subject && known.operations == case.operations {
            known.objects.extend(case.objects);
            return;
        }
    }
    all.push(case);
}

/// The operations that an event of this kind is the act of; the error says why there are none.
fn operations(kind: Kind) -> Result<Operations, &'static str> {
    const LATE: &str = "which no hook precedes";
    let one = |operation| Ok(Operations::default().with(operation));
    match kind {
        Kind::Exec => one(Operation::Execute),
        Kind::Open => Ok(Operations::default().with(Operation::Read).with(Operation::Write)),
        Kind::Create => one(Operation::Create),
        Kind::Write => one(Operation::Write),
        Kind::Unlink => one(Operation::Delete),
        Kind::Attr => one(Operation::Attributes),
        Kind::Mount => one(Operation::Mount),
        Kind::Connect => one(Operation::Connect),
        Kind::Send => one(Operation::Send),
        Kind::Accept => one(Operation::Accept),
        Kind::Bind => one(Operation::Bind),
        Kind::Listen => one(Operation::Listen),
        Kind::Ptrace => one(Operation::Ptrace),
        Kind::Signal => one(Operation::Signal),
        Kind::Module => one(Operation::LoadModule),
        Kind::Bpf => one(Operation::Bpf),
        Kind::Namespace => one(Operation::Namespace),
        Kind::IoUring => one(Operation::IoUring),
        Kind::Rename | Kind::Link => Err("which the kernel decides by both names"),
        Kind::Umount => Err("which the kernel does not tell from a mount"),
        Kind::Setuid | Kind::Setgid | Kind::Capset | Kind::Memfd => {
            Err("which no policy can refuse")
        }
        _ => Err(LATE),
    }
}

/// One test that must hold.
type Needed<'e> = (FieldId, &'e Test, &'e Expr);

struct Reader<'r> {
    kind: Kind,
    words: &'r Action,
    program: &'r Program,
}

/// What one conjunction asks, as far as it was read.
#[derive(Default)]
struct Draft {
    executables: Option<Vec<String>>,
    users: Option<Vec<String>>,
    paths: Option<Vec<String>>,
    networks: Option<Vec<(IpAddr, u8)>>,
    ports: Option<Vec<(u16, u16)>>,
    protocols: Option<Vec<u16>>,
    /// Only for writing, or only not for it.
    writing: Option<bool>,
}

impl Reader<'_> {
    fn stop(&self, expr: &Expr, reason: impl Into<String>) -> Obstacle {
        Obstacle { because: expression(expr, self.program), reason: reason.into() }
    }

    /// The condition, or its complement, as alternatives of tests that must all hold.
    fn alternatives<'e>(
        &self,
        expr: &'e Expr,
        negated: bool,
    ) -> Result<Vec<Vec<Needed<'e>>>, Obstacle> {
        if let Some(truth) = partial::truth(expr, self.words) {
            return Ok(if truth == negated { Vec::new() } else { vec![Vec::new()] });
        }
        match (expr, negated) {
            (Expr::Not(inner), _) => self.alternatives(inner, !negated),
            (Expr::Or(parts), false) | (Expr::And(parts), true) => {
                let mut all = Vec::new();
                for part in parts {
                    all.extend(self.alternatives(part, negated)?);
                }
                self.bounded(expr, all)
            }
            (Expr::And(parts), false) | (Expr::Or(parts), true) => {
                let mut all: Vec<Vec<Needed<'e>>> = vec![Vec::new()];
                for part in parts {
                    let more = self.alternatives(part, negated)?;
                    let both = all.iter().flat_map(|one| {
                        more.iter().map(move |two| one.iter().chain(two).copied().collect())
                    });
                    all = self.bounded(expr, both.collect())?;
                }
                Ok(all)
            }
            (Expr::Test(id, _), true) => Err(self.stop(
                expr,
                format!(
                    "the kernel has no label for all but some `{}`",
                    field_name(*id, self.program)
                ),
            )),
            (Expr::Test(id, test), false) => Ok(vec![vec![(*id, test, expr)]]),
            (Expr::Computed(..) | Expr::Truth(_), _) => Err(self.stop(expr, "a value is computed")),
            (Expr::Compare { .. }, _) => {
                Err(self.stop(expr, "two values of the event are compared"))
            }
            (Expr::Lineage(..), _) => {
                Err(self.stop(expr, "it asks for earlier events of a process"))
            }
            (Expr::Script { .. }, _) => Err(self.stop(expr, "a script is asked in user space")),
            (Expr::Const(_), _) => Ok(Vec::new()),
        }
    }

    fn bounded<T>(&self, expr: &Expr, all: Vec<T>) -> Result<Vec<T>, Obstacle> {
        if all.len() > CASES_MAX {
            return Err(self.stop(expr, format!("it has more than {CASES_MAX} cases")));
        }
        Ok(all)
    }

    /// A conjunction as a case; none if nothing satisfies it.
    fn draft(
        &self,
        conjunction: &[Needed<'_>],
        mut operations: Operations,
    ) -> Result<Option<Case>, Obstacle> {
        let mut draft = Draft::default();
        for (id, test, expr) in conjunction {
            self.read(&mut draft, *id, test, expr)?;
        }
        if let Some(writing) = draft.writing {
            let only = if writing { Operation::Write } else { Operation::Read };
            operations = Operations::default().with(only);
        }
        let Some(objects) = objects(&draft) else { return Ok(None) };
        let lists = [&draft.executables, &draft.users];
        if lists.iter().any(|list| list.as_ref().is_some_and(Vec::is_empty)) {
            return Ok(None);
        }
        if let Some((.., expr)) = conjunction.first()
            && objects.len() > OBJECTS_MAX
        {
            return Err(self.stop(expr, format!("it is about more than {OBJECTS_MAX} things")));
        }
        let subject = Subject {
            executables: draft.executables.unwrap_or_default(),
            users: draft.users.unwrap_or_default(),
            ..Subject::default()
        };
        Ok(Some(Case { subject, operations, objects }))
    }

    fn read(
        &self,
        draft: &mut Draft,
        id: FieldId,
        test: &Test,
        expr: &Expr,
    ) -> Result<(), Obstacle> {
        let unknown = || {
            let name = field_name(id, self.program);
            self.stop(expr, format!("the kernel has no label for `{name}`"))
        };
        let is_own = matches!(self.kind, Kind::Exec);
        match id {
            field::PROCESS_EXECUTABLE if is_own => {
                self.path(&mut draft.paths, Of::Path, test, expr)
            }
            field::PROCESS_NAME if is_own => self.path(&mut draft.paths, Of::Name, test, expr),
            field::PROCESS_EXECUTABLE => self.path(&mut draft.executables, Of::Path, test, expr),
            field::PROCESS_NAME => self.path(&mut draft.executables, Of::Name, test, expr),
            field::FILE_PATH | field::FILE_NAME | field::FILE_DIRECTORY | field::FILE_EXTENSION
                if self.has_file() =>
            {
                let of = match id {
                    field::FILE_PATH => Of::Path,
                    field::FILE_NAME => Of::Name,
                    field::FILE_EXTENSION => Of::Extension,
                    _ => Of::Directory,
                };
                self.path(&mut draft.paths, of, test, expr)
            }
            field::FILE_EXT_OPEN_WRITE if self.kind == Kind::Open => {
                let Test::Equals { any, .. } = test else { return Err(unknown()) };
                let [Literal::Bool(writing)] = any.as_slice() else { return Err(unknown()) };
                draft.writing = Some(*writing);
                Ok(())
            }
            field::USER_ID | field::USER_EFFECTIVE_ID | field::PROCESS_USER_ID => {
                let users = numbers(test).ok_or_else(|| self.stop(expr, NUMBERS))?;
                let users = users.into_iter().map(|id| id.to_string()).collect();
                narrow(&mut draft.users, users, |one, two| (one == two).then(|| one.clone()));
                Ok(())
            }
            _ if self.is_peer(id) => self.peer(draft, id, test, expr),
            _ => Err(unknown()),
        }
    }

    fn has_file(&self) -> bool {
        matches!(self.kind, Kind::Open | Kind::Create | Kind::Write | Kind::Unlink | Kind::Attr)
    }

    /// Whether a field is about the side of a connection that policies name.
    fn is_peer(&self, id: FieldId) -> bool {
        match self.kind {
            Kind::Connect | Kind::Send => {
                [field::DESTINATION_IP, field::DESTINATION_PORT, field::NETWORK_TRANSPORT]
                    .contains(&id)
            }
            Kind::Accept | Kind::Bind | Kind::Listen => {
                [field::SOURCE_IP, field::SOURCE_PORT, field::NETWORK_TRANSPORT].contains(&id)
            }
            _ => false,
        }
    }

    fn path(
        &self,
        slot: &mut Option<Vec<String>>,
        of: Of,
        test: &Test,
        expr: &Expr,
    ) -> Result<(), Obstacle> {
        let (texts, fold) =
            texts(test).map_err(|what| self.stop(expr, format!("labels cannot hold {what}")))?;
        if slot.is_some() {
            return Err(self.stop(expr, "two patterns of the same path must hold at once"));
        }
        let mut all = Vec::new();
        for text in texts {
            let patterns = paths::patterns(of, &text, fold);
            let patterns =
                patterns.map_err(|what| self.stop(expr, format!("labels cannot hold {what}")))?;
            all.extend(patterns);
        }
        all.sort_unstable();
        all.dedup();
        *slot = Some(all);
        Ok(())
    }

    fn peer(
        &self,
        draft: &mut Draft,
        id: FieldId,
        test: &Test,
        expr: &Expr,
    ) -> Result<(), Obstacle> {
        match id {
            field::SOURCE_IP | field::DESTINATION_IP => {
                let networks = networks(test)
                    .ok_or_else(|| self.stop(expr, "labels cannot hold a pattern of an address"))?;
                narrow(&mut draft.networks, networks, common_network);
            }
            field::NETWORK_TRANSPORT => {
                let protocols = protocols(test)
                    .ok_or_else(|| self.stop(expr, "labels hold only `tcp` and `udp`"))?;
                narrow(&mut draft.protocols, protocols, |one, two| (one == two).then_some(*one));
            }
            _ => {
                let ports = ports(test).ok_or_else(|| self.stop(expr, NUMBERS))?;
                narrow(&mut draft.ports, ports, |one, two| {
                    let both = (one.0.max(two.0), one.1.min(two.1));
                    (both.0 <= both.1).then_some(both)
                });
            }
        }
        Ok(())
    }
}

const NUMBERS: &str = "labels cannot hold a pattern of a number";

/// What both lists have in common.
fn narrow<T: Clone>(slot: &mut Option<Vec<T>>, by: Vec<T>, common: impl Fn(&T, &T) -> Option<T>) {
    let now = match slot.take() {
        None => by,
        Some(before) => {
            before.iter().flat_map(|one| by.iter().filter_map(|two| common(one, two))).collect()
        }
    };
    *slot = Some(now);
}

/// Texts of a test and whether letters fold; the error says what labels cannot hold.
fn texts(test: &Test) -> Result<(Vec<Vec<Token>>, bool), &'static str> {
    let bytes = |text: &[u8]| text.iter().copied().map(Token::Byte).collect::<Vec<_>>();
    match test {
        Test::Equals { any, fold } => {
            let texts = any.iter().filter_map(|one| match one {
                Literal::Str(text) => Some(bytes(text)),
                // No path is a number or a truth.
                _ => None,
            });
            Ok((texts.collect(), *fold))
        }
        Test::Wildcard { any, fold } => {
            if any.iter().any(|one| one.contains(&b'?')) {
                return Err("one character that may also be a slash");
            }
            let token = |byte: &u8| if *byte == b'*' { Token::Star } else { Token::Byte(*byte) };
            Ok((any.iter().map(|one| one.iter().map(token).collect()).collect(), *fold))
        }
        Test::Part { place, any, fold } => {
            let texts = any.iter().map(|text| {
                let mut tokens = bytes(text);
                if matches!(place, Place::End | Place::Anywhere) {
                    tokens.insert(0, Token::Star);
                }
                if matches!(place, Place::Start | Place::Anywhere) {
                    tokens.push(Token::Star);
                }
                tokens
            });
            Ok((texts.collect(), *fold))
        }
        Test::Regex { .. } => Err("a regular expression"),
        _ => Err("this test of a path"),
    }
}

fn numbers(test: &Test) -> Option<Vec<u32>> {
    let Test::Equals { any, .. } = test else { return None };
    let number = |one: &Literal| match one {
        Literal::Int(number) => u32::try_from(*number).ok(),
        Literal::Str(text) => std::str::from_utf8(text).ok()?.parse().ok(),
        _ => None,
    };
    Some(any.iter().filter_map(number).collect())
}

fn ports(test: &Test) -> Option<Vec<(u16, u16)>> {
    if let Test::Compare(order, Literal::Int(bound)) = test {
        let first = |port: i64| u16::try_from(port.max(1)).ok().map(|port| (port, u16::MAX));
        let last = |port: i64| u16::try_from(port.min(u16::MAX.into())).ok().filter(|one| *one > 0);
        let range = match order {
            Order::Equal => {
                return numbers(&Test::Equals { any: vec![Literal::Int(*bound)], fold: false })
                    .map(single);
            }
            Order::Less => last(bound - 1).map(|last| (1, last)),
            Order::LessEqual => last(*bound).map(|last| (1, last)),
            Order::Greater => first(bound.checked_add(1)?),
            Order::GreaterEqual => first(*bound),
        };
        return Some(range.into_iter().collect());
    }
    numbers(test).map(single)
}

fn single(numbers: Vec<u32>) -> Vec<(u16, u16)> {
    let ports = numbers.into_iter().filter_map(|one| u16::try_from(one).ok());
    ports.map(|port| (port, port)).collect()
}

fn networks(test: &Test) -> Option<Vec<(IpAddr, u8)>> {
    match test {
        Test::Cidr(networks) => Some(networks.clone()),
        Test::Equals { any, .. } => {
            let address = |one: &Literal| {
                let Literal::Str(text) = one else { return None };
                let address: IpAddr = std::str::from_utf8(text).ok()?.parse().ok()?;
                Some((address, if address.is_ipv4() { 32 } else { 128 }))
            };
            Some(any.iter().filter_map(address).collect())
        }
        _ => None,
    }
}

/// The smaller of two networks of which one holds the other.
fn common_network(one: &(IpAddr, u8), two: &(IpAddr, u8)) -> Option<(IpAddr, u8)> {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, true),
        IpAddr::V6(address) => (address.to_bits(), false),
    };
    let (short, long) = if one.1 <= two.1 { (one, two) } else { (two, one) };
    let ((a, a_is_v4), (b, b_is_v4)) = (bits(short.0), bits(long.0));
    let differ = (a ^ b).checked_shr(128 - u32::from(short.1)).unwrap_or_default();
    (a_is_v4 == b_is_v4 && differ == 0).then_some(*long)
}

fn protocols(test: &Test) -> Option<Vec<u16>> {
    let Test::Equals { any, .. } = test else { return None };
    let number = |one: &Literal| match one {
        Literal::Str(text) if text.eq_ignore_ascii_case(b"tcp") => Some(6),
        Literal::Str(text) if text.eq_ignore_ascii_case(b"udp") => Some(17),
        _ => None,
    };
    any.iter().map(number).collect()
}

/// Each of a list, or that nothing is asked.
fn each<T: Copy>(list: Option<&[T]>) -> Vec<Option<T>> {
    list.map_or_else(|| vec![None], |all| all.iter().copied().map(Some).collect())
}

/// The objects of a draft: whatever it is if nothing is asked; none if nothing satisfies it.
fn objects(draft: &Draft) -> Option<Vec<Object>> {
    if let Some(paths) = &draft.paths {
        let all: Vec<Object> = paths.iter().cloned().map(Object::Path).collect();
        return (!all.is_empty()).then_some(all);
    }
    if draft.networks.is_none() && draft.ports.is_none() && draft.protocols.is_none() {
        return Some(vec![Object::Any]);
    }
    let mut all = Vec::new();
    for network in each(draft.networks.as_deref()) {
        for ports in each(draft.ports.as_deref()) {
            for protocol in each(draft.protocols.as_deref()) {
                all.push(Object::Peer(Peer { network, ports, protocol }));
            }
        }
    }
    (!all.is_empty()).then_some(all)
}
