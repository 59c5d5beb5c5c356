//! What `checksec` would say of the binaries: that an attacker finds nothing at a fixed place, and no memory that
//! he can write and then run, or point elsewhere.

use anyhow::Result;

use super::{Log, Verdict};
use crate::outcome::Outcome;
use crate::sh;

/// The binaries that packages hold.
const BINARIES: &[&str] = &["aegisbpf", "kestrel"];

/// Looks at each.
pub(super) fn check(log: &mut Log) -> Result<Verdict> {
    let mut total = Outcome::default();
    for name in BINARIES {
        let file = sh::release(name);
        let said = |flag: &str| sh::capture(sh::cmd("readelf").arg(flag).arg(&file));
        let lacks = lacks(&said("-hW")?, &said("-lW")?, &said("-dW")?);
        for one in &lacks {
            log.line(&format!("FAIL packaging/hardening: {name}: {one}"))?;
        }
        total += if lacks.is_empty() { Outcome::PASS } else { Outcome::FAIL };
    }
    Ok(Verdict::Ran(total))
}

/// What a binary lacks, by its header, its segments and its dynamic section, as `readelf` prints them.
fn lacks(header: &str, segments: &str, dynamic: &str) -> Vec<&'static str> {
    let segment = |name: &str| {
        segments.lines().find(|line| line.trim_start().starts_with(name)).and_then(flags)
    };
    let is_both = |flags: String| flags.contains('W') && flags.contains('E');
    let now = dynamic.lines().any(|line| {
        line.contains("BIND_NOW")
            || line.contains("FLAGS_1") && line.split_whitespace().any(|word| word == "NOW")
    });
    let loads = segments.lines().filter(|line| line.trim_start().starts_with("LOAD"));
    let tests = [
        (
            !header.lines().any(|line| line.contains("Type:") && line.contains("DYN")),
            "it is no PIE",
        ),
        (segment("GNU_RELRO").is_none(), "no RELRO: tables of addresses stay writable"),
        (!now, "RELRO is not full: addresses are looked up late, in tables that stay writable"),
        (segment("GNU_STACK").is_none_or(|flags| flags.contains('E')), "the stack is executable"),
        (loads.filter_map(flags).any(is_both), "memory is writable and executable"),
        (dynamic.contains("TEXTREL"), "code is changed when it is loaded"),
        (
            dynamic.contains("(RPATH)") || dynamic.contains("(RUNPATH)"),
            "libraries are looked for in places of the build",
        ),
    ];
    tests.into_iter().filter(|(is_lacking, _)| *is_lacking).map(|(_, what)| what).collect()
}

/// Flags of a segment: they stand between its size in memory and its alignment, as `RW` or `R E`.
fn flags(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    words.get(6..words.len().saturating_sub(1)).map(|flags| flags.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "  Type:     DYN (Position-Independent Executable file)\n";
    const SEGMENTS: &str = "  LOAD      0x1 0x2 0x3 0x4 0x5 R E 0x1000\n\
                              LOAD      0x1 0x2 0x3 0x4 0x5 RW  0x1000\n\
                              GNU_RELRO 0x1 0x2 0x3 0x4 0x5 R   0x1\n\
                              GNU_STACK 0x0 0x0 0x0 0x0 0x0 RW  0x10\n";
    const DYNAMIC: &str = " 0x1e (FLAGS)    BIND_NOW\n 0x6ffffffb (FLAGS_1)  Flags: NOW PIE\n";

    #[test]
    fn each_protection_that_is_missing_is_told() {
        assert_eq!(lacks(HEADER, SEGMENTS, DYNAMIC), Vec::<&str>::new(), "the control");
        let fixed = HEADER.replace("DYN", "EXEC");
        assert_eq!(lacks(&fixed, SEGMENTS, DYNAMIC), ["it is no PIE"]);
        let segments = SEGMENTS.replace("0x0 RW  ", "0x0 RWE ");
        assert_eq!(lacks(HEADER, &segments, DYNAMIC), ["the stack is executable"]);
        let segments = SEGMENTS.replace("0x5 RW  ", "0x5 RWE ");
        assert_eq!(lacks(HEADER, &segments, DYNAMIC), ["memory is writable and executable"]);
        let segments = SEGMENTS.replace("GNU_RELRO", "GNU_OTHER");
        assert_eq!(
            lacks(HEADER, &segments, DYNAMIC),
            ["no RELRO: tables of addresses stay writable"]
        );
        assert_eq!(lacks(HEADER, SEGMENTS, "").len(), 1, "addresses are looked up late");
        let rpath = format!("{DYNAMIC} 0xf (RUNPATH) Library runpath: [/build]\n");
        assert_eq!(
            lacks(HEADER, SEGMENTS, &rpath),
            ["libraries are looked for in places of the build"]
        );
    }
}
