//! Values and modifiers.

use serde_json::json;

use super::{lines, matched, matched_in, refused, rule, start};

#[test]
fn text_is_compared_as_a_whole_and_without_regard_to_case() {
    assert_eq!(lines("CommandLine: Whoami", &["whoami", "WHOAMI", "whoami -x", "xwhoami"]), [1, 2]);
}

#[test]
fn a_star_is_any_text_and_a_question_mark_one_letter() {
    assert_eq!(lines("CommandLine: 'a*b?'", &["abx", "a--bé", "ab", "abxy", "xabx"]), [1, 2]);
}

#[test]
fn a_backslash_makes_wildcards_literal_and_two_are_one_before_them() {
    assert_eq!(lines(r"CommandLine: 'a\*'", &["a*", "ab", r"a\*"]), [1]);
    assert_eq!(lines(r"CommandLine: 'a\?b'", &["a?b", "axb"]), [1]);
    assert_eq!(lines(r"CommandLine: 'a\\*'", &[r"a\b", r"a\", "a*", "ab"]), [1, 2]);
    assert_eq!(lines(r"CommandLine: 'a\b'", &[r"a\b", r"a\\b", "ab"]), [1], "no escape");
}

#[test]
fn contains_startswith_and_endswith_place_the_text() {
    let all = ["x -a y", "-a y", "x -a", "xy"];
    assert_eq!(lines("CommandLine|contains: '-A'", &all), [1, 2, 3]);
    assert_eq!(lines("CommandLine|startswith: '-A'", &all), [2]);
    assert_eq!(lines("CommandLine|endswith: '-A'", &all), [3]);
    assert_eq!(lines("CommandLine|contains: 'a*y'", &["xaby", "xya"]), [1]);
}

#[test]
fn a_list_means_any_and_all_means_all() {
    let all = ["a b", "a", "b", "c"];
    assert_eq!(lines("CommandLine|contains: [a, b]", &all), [1, 2, 3]);
    assert_eq!(lines("CommandLine|contains|all: [a, b]", &all), [1]);
}

#[test]
fn a_map_means_all_and_a_list_of_maps_means_any() {
    let events = [
        json!({ "process.executable": "/bin/a", "process.command_line": "x" }),
        json!({ "process.executable": "/bin/a", "process.command_line": "y" }),
        json!({ "process.executable": "/bin/b", "process.command_line": "y" }),
    ];
    let map = "  s:\n    Image: /bin/a\n    CommandLine: x\n  condition: s";
    assert_eq!(matched(map, &events), [1]);
    let list = "  s:\n    - Image: /bin/b\n    - CommandLine: x\n  condition: s";
    assert_eq!(matched(list, &events), [1, 3]);
}

#[test]
fn regular_expressions_are_found_anywhere_and_regard_case() {
    let all = ["xa1y", "A1", "a", "a\n1"];
    assert_eq!(lines("CommandLine|re: 'a[0-9]'", &all), [1]);
    assert_eq!(lines("CommandLine|re|i: 'a[0-9]'", &all), [1, 2]);
    assert_eq!(lines("CommandLine|re: '(?i)a[0-9]'", &all), [1, 2]);
    assert_eq!(lines("CommandLine|re: '^a.1$'", &all), [0_u64; 0], "a dot is no line feed");
    assert_eq!(lines("CommandLine|re|s: '^a.1$'", &all), [4]);
    assert_eq!(lines("CommandLine|re|m: '^1$'", &all), [4]);
    assert_eq!(lines("CommandLine|re: '^1$'", &all), [0_u64; 0]);
}

#[test]
fn cased_regards_case() {
    assert_eq!(lines("CommandLine|cased: Abc", &["Abc", "abc"]), [1]);
    assert_eq!(lines("CommandLine|contains|cased: Abc", &["xAbcx", "xabcx"]), [1]);
}

#[test]
fn cidr_compares_addresses() {
    let ips = ["10.1.2.3", "11.0.0.1", "fd00::1"];
    let events = ips.map(
        |ip| json!({ "event.category": "network", "event.type": ["start"], "destination.ip": ip }),
    );
    let within = |value: &str| {
        let detection = format!("  s:\n    DestinationIp|cidr: {value}\n  condition: s");
        matched_in("category: network_connection", &detection, &events)
    };
    assert_eq!(within("10.0.0.0/8"), [1]);
    assert_eq!(within("['11.0.0.0/8', 'fd00::/8']"), [2, 3]);
    let plain = "  s:\n    DestinationIp: '11.0.0.1'\n  condition: s";
    assert_eq!(matched_in("category: network_connection", plain, &events), [2]);
    let part = "  s:\n    DestinationIp|startswith: '10.'\n  condition: s";
    assert_eq!(matched_in("category: network_connection", part, &events), [1]);
}

#[test]
fn numbers_equal_their_decimal_text() {
    let events = [json!({ "process.pid": 7 }), json!({ "process.pid": 70 })];
    assert_eq!(matched("  s:\n    ProcessId: 7\n  condition: s", &events), [1]);
    assert_eq!(matched("  s:\n    ProcessId: '7'\n  condition: s", &events), [1]);
    assert_eq!(lines("CommandLine: 7", &["7", "70"]), [1]);
}

#[test]
fn numbers_are_ordered() {
    let events = [5, 6, 7].map(|pid| json!({ "process.pid": pid }));
    let pids =
        |item: &str| matched(&format!("  s:\n    ProcessId|{item}\n  condition: s"), &events);
    assert_eq!(pids("lt: 6"), [1]);
    assert_eq!(pids("lte: 6"), [1, 2]);
    assert_eq!(pids("gt: 6"), [3]);
    assert_eq!(pids("gte: 6"), [2, 3]);
    assert_eq!(pids("neq: 6"), [1, 3]);
}

#[test]
fn null_means_absent_and_an_empty_text_is_a_value() {
    let events =
        [json!({}), json!({ "process.command_line": "" }), json!({ "process.command_line": "x" })];
    assert_eq!(matched("  s:\n    CommandLine: null\n  condition: s", &events), [1]);
    assert_eq!(matched("  s:\n    CommandLine: ''\n  condition: s", &events), [2]);
    assert_eq!(matched("  s:\n    CommandLine|exists: true\n  condition: s", &events), [2, 3]);
    assert_eq!(matched("  s:\n    CommandLine|exists: false\n  condition: s", &events), [1]);
}

#[test]
fn fieldref_compares_two_fields() {
    let events = [("/bin/a", "/bin/a"), ("/bin/a", "/bin/b")].map(|(image, parent)| {
        json!({ "process.executable": image, "process.parent.executable": parent })
    });
    let same = "  s:\n    Image|fieldref: ParentImage\n  condition: s";
    assert_eq!(matched(same, &events), [1]);
    assert_eq!(matched(&same.replace("condition: s", "condition: not s"), &events), [2]);
}

#[test]
fn encodings_are_applied_before_comparison() {
    // "curl" and "curl" one byte later in base64, and wide.
    assert_eq!(lines("CommandLine|base64|contains: curl", &["x Y3VybA== y", "x Y3VybB== y"]), [1]);
    let shifted = ["IGN1cmwg", "Y3VybCBh", "ICBjdXJs", "Y3Vy"];
    assert_eq!(lines("CommandLine|base64offset|contains: curl", &shifted), [1, 2, 3]);
    let wide = ["YwB1AHIAbAA=", "Y3VybA=="];
    assert_eq!(lines("CommandLine|wide|base64|contains: curl", &wide), [1]);
    assert_eq!(lines("CommandLine|utf16be|base64|contains: curl", &["AGMAdQByAGw=", wide[0]]), [1]);
    assert_eq!(lines("CommandLine|utf16|base64|contains: c", &["//5jAA==", wide[0]]), [1]);
    let dashes = ["x -f", "x /f", "x \u{2013}f", "x +f"];
    assert_eq!(lines("CommandLine|windash|contains: ' -f'", &dashes), [1, 2, 3]);
}

#[test]
fn what_is_not_run_says_why() {
    let of = |item: &str| {
        refused(&rule("category: process_creation", &format!("  s:\n    {item}\n  condition: s")))
    };
    assert!(of("CommandLine|expand: '%x%'").contains("nothing defines any"));
    assert!(
        of("CommandLine|re: '(?<=a)b'").contains("look-around"),
        "{}",
        of("CommandLine|re: '(?<=a)b'")
    );
    assert!(of("DestinationIp|cidr: nonsense").contains("no address or network"));
    assert!(of("CommandLine|hour: 3").contains("parts of a time"));
    assert!(of("CommandLine|re|cidr: x").contains("exclude each other"));
    assert!(of("CommandLine|base64: 'a*'").contains("wildcard has no meaning"));
    let nothing =
        refused(&rule("category: process_creation", "  s:\n    CommandLine: []\n  condition: s"));
    assert!(nothing.contains("empty"), "{nothing}");
    // The control: the same form with a modifier that is run.
    assert_eq!(
        matched(
            "  s:\n    CommandLine|contains: x\n  condition: s",
            &[start(&json!({"process.command_line": "x"}))]
        ),
        [1]
    );
}
