//! Tests: what is learned from an answer, and from what only looks like one.

use proptest::prelude::*;
use simple_dns::rdata::{A, AAAA, CNAME};
use simple_dns::{Question, ResourceRecord};

use super::*;

fn name(text: &str) -> Name<'_> {
    Name::new(text).unwrap()
}

fn record<'a>(of: &'a str, ttl: u32, data: RData<'a>) -> ResourceRecord<'a> {
    ResourceRecord::new(name(of), CLASS::IN, ttl, data)
}

fn four(last: u32) -> RData<'static> {
    RData::A(A { address: 0xc000_0200 + last })
}

fn alias(to: &str) -> RData<'_> {
    RData::CNAME(CNAME(name(to)))
}

/// An answer to a question for the addresses of a name.
fn packet<'a>(asked: &'a str, answers: Vec<ResourceRecord<'a>>) -> Packet<'a> {
    let mut packet = Packet::new_reply(7);
    let question = Question::new(name(asked), TYPE::A.into(), CLASS::IN.into(), false);
    packet.questions.push(question);
    packet.answers = answers;
    packet
}

/// What is said of it, in both forms that it can be written in.
fn of(packet: &Packet<'_>) -> Result<Vec<String>, Unfit> {
    let lines = |bytes: &[u8]| -> Result<Vec<String>, Unfit> {
        let all = said(bytes)?.into_iter();
        Ok(all.map(|(name, address, ttl)| format!("{name} {address} {ttl}")).collect())
    };
    let plain = lines(&packet.build_bytes_vec().unwrap());
    assert_eq!(plain, lines(&packet.build_bytes_vec_compressed().unwrap()), "compressed or not");
    plain
}

#[test]
fn the_name_that_was_asked_for_has_the_addresses_that_its_aliases_end_in() {
    let six = RData::AAAA(AAAA { address: 0x2001_0db8 << 96 | 1 });
    let plain = vec![record("www.A.test", 300, four(1)), record("www.a.test", 60, six)];
    assert_eq!(
        of(&packet("WWW.a.Test", plain)).unwrap(),
        ["www.a.test 192.0.2.1 300", "www.a.test 2001:db8::1 60"]
    );
    let chain = vec![
        record("www.a.test", 30, alias("x.cdn.test")),
        record("x.cdn.test", 600, alias("y.cdn.test")),
        record("y.cdn.test", 300, four(1)),
        record("x.cdn.test", 300, four(2)),
        record("victim.b.test", 300, four(3)),
    ];
    let heard = of(&packet("www.a.test", chain)).unwrap();
    assert_eq!(heard, ["www.a.test 192.0.2.1 30"], "nothing but its end, and no other name");
}

#[test]
fn what_somebody_slips_into_an_answer_is_not_learned() {
    // Who may answer for evil.test says something of a name that policies allow.
    let mut slipped = packet(
        "evil.test",
        vec![record("evil.test", 60, alias("www.a.test")), record("www.a.test", 60, four(66))],
    );
    slipped.additional_records.push(record("www.a.test", 60, four(67)));
    assert_eq!(of(&slipped).unwrap(), ["evil.test 192.0.2.66 60"], "evil.test alone has it");
    let mut other = packet("evil.test", vec![record("www.a.test", 60, four(66))]);
    other.additional_records.push(record("evil.test", 60, four(67)));
    other.name_servers.push(record("evil.test", 60, four(68)));
    assert!(of(&other).unwrap().is_empty(), "neither another name nor another section");
}

#[test]
fn what_is_no_whole_answer_is_not_relied_on() {
    let good = || packet("www.a.test", vec![record("www.a.test", 60, four(1))]);
    assert_eq!(of(&good()).unwrap().len(), 1);
    let mut cut = good();
    cut.set_flags(PacketFlag::TRUNCATION);
    assert_eq!(of(&cut), Err(Unfit), "cut off");
    let mut question = good();
    question.remove_flags(PacketFlag::RESPONSE);
    assert_eq!(of(&question), Err(Unfit), "a question");
    let mut none = good();
    none.questions.clear();
    assert_eq!(of(&none), Err(Unfit), "without a question");
    let mut two = good();
    two.questions.push(two.questions[0].clone());
    assert_eq!(of(&two), Err(Unfit), "two questions");
    let mut refused = good();
    *refused.rcode_mut() = RCODE::Refused;
    assert_eq!(of(&refused), Ok(Vec::new()), "refused");
    let mut text = good();
    text.questions[0].qtype = TYPE::TXT.into();
    assert_eq!(of(&text), Ok(Vec::new()), "another question");
    let bytes = good().build_bytes_vec().unwrap();
    for len in 0..bytes.len() {
        assert_eq!(said(&bytes[..len]), Err(Unfit), "the first {len} bytes");
    }
    let looped =
        vec![record("www.a.test", 9, alias("b.test")), record("b.test", 9, alias("www.a.test"))];
    assert_eq!(of(&packet("www.a.test", looped)), Err(Unfit), "aliases that never end");
}

#[test]
fn names_that_point_to_themselves_are_refused() {
    // A header, and a question whose name is a pointer: to itself, forward, to the header.
    for target in [12_u8, 20, 255] {
        let mut bytes = vec![0, 7, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, target, 0, 1, 0, 1];
        assert_eq!(said(&bytes), Err(Unfit), "{target}");
        // Two that point to each other, behind a label.
        bytes.splice(12..14, [1, b'a', 0xc0, target]);
        assert_eq!(said(&bytes), Err(Unfit), "{target} behind a label");
    }
}

#[test]
fn times_to_live_and_numbers_of_addresses_are_bounded() {
    for (ttl, wanted) in [(0, 0), (u32::MAX >> 1, u32::MAX >> 1), (1 << 31, 0), (u32::MAX, 0)] {
        let heard = of(&packet("a.test", vec![record("a.test", ttl, four(1))])).unwrap();
        assert_eq!(heard, [format!("a.test 192.0.2.1 {wanted}")]);
    }
    let many = (0..200).map(|n| record("a.test", 60, four(n)));
    assert_eq!(of(&packet("a.test", many.collect())).unwrap().len(), ADDRESSES_MAX);
}

#[test]
fn a_name_that_no_rule_can_write_is_no_line_of_ours() {
    for label in ["a b", "a\n192", "a.b", "\u{fc}", "a\\", "-"] {
        let labels = [
            simple_dns::Label::new_unchecked(label.as_bytes()),
            simple_dns::Label::new_unchecked(&b"test"[..]),
        ];
        let odd = Name::new_with_labels(&labels);
        let mut packet = packet("a.test", Vec::new());
        packet.questions[0].qname = odd.clone();
        packet.answers.push(ResourceRecord::new(odd, CLASS::IN, 60, four(1)));
        let heard = of(&packet).unwrap();
        assert_eq!(heard.len(), usize::from(label == "-"), "{label:?}: {heard:?}");
    }
}

proptest! {
    #[test]
    fn no_message_is_too_strange_to_be_read(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _any = said(&bytes);
    }

    #[test]
    fn a_message_that_was_tampered_with_gives_only_what_fits_a_line(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let chain = vec![record("www.a.test", 30, alias("x.test")), record("x.test", 60, four(1))];
        let mut bytes = packet("www.a.test", chain).build_bytes_vec_compressed().unwrap();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        for (name, _, ttl) in said(&bytes).unwrap_or_default() {
            prop_assert!(name.bytes().all(|byte| byte.is_ascii_graphic()) && name.len() < 256);
            prop_assert!(ttl <= u32::MAX >> 1);
        }
    }
}
