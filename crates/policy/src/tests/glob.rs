//! Path patterns matched by trying everything, straight from their text.

/// Whether a path (`/name/name`, the root empty) fits a pattern.
pub(crate) fn fits(pattern: &str, path: &[u8]) -> bool {
    let bytes = pattern.as_bytes();
    let mut names: Vec<&[u8]> = bytes.split(|byte| *byte == b'/').collect();
    names.retain(|name| !name.is_empty() && *name != b".");
    if !bytes.contains(&b'/') {
        names.insert(0, b"**");
    }
    let path: Vec<&[u8]> =
        path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).collect();
    deep(&names, &path)
}

fn deep(names: &[&[u8]], path: &[&[u8]]) -> bool {
    match names.split_first() {
        None => path.is_empty(),
        Some((name, rest)) if *name == b"**" => {
            (0..=path.len()).any(|skipped| deep(rest, &path[skipped..]))
        }
        Some((name, rest)) => {
            path.split_first().is_some_and(|(first, more)| one(name, first) && deep(rest, more))
        }
    }
}

fn one(pattern: &[u8], name: &[u8]) -> bool {
    let Some((head, rest)) = pattern.split_first() else { return name.is_empty() };
    if *head == b'*' {
        return (0..=name.len()).any(|skipped| one(rest, &name[skipped..]));
    }
    let Some((byte, more)) = name.split_first() else { return false };
    match head {
        b'?' => one(rest, more),
        b'\\' => {
            let (wanted, rest) = escape(rest);
            wanted == *byte && one(rest, more)
        }
        b'[' => {
            let (fits, rest) = set(rest, *byte);
            fits && one(rest, more)
        }
        head => head == byte && one(rest, more),
    }
}

fn escape(text: &[u8]) -> (u8, &[u8]) {
    if text[0] == b'x' {
        let digits = std::str::from_utf8(&text[1..3]).unwrap();
        return (u8::from_str_radix(digits, 16).unwrap(), &text[3..]);
    }
    (text[0], &text[1..])
}

fn set(mut text: &[u8], byte: u8) -> (bool, &[u8]) {
    let negated = text[0] == b'!';
    if negated {
        text = &text[1..];
    }
    let mut found = false;
    while text[0] != b']' {
        let low = text[0];
        text = &text[1..];
        let mut high = low;
        if text[0] == b'-' && text[1] != b']' {
            high = text[1];
            text = &text[2..];
        }
        found |= (low..=high).contains(&byte);
    }
    (found != negated, &text[1..])
}

#[test]
fn it_knows_the_syntax() {
    for (pattern, path, expected) in [
        ("/a", "/a", true),
        ("/a/**", "/a", true),
        ("/a/**", "/ab", false),
        ("/a/**/b", "/a/x/y/b", true),
        ("*.pem", "/x/y.pem", true),
        ("/*.pem", "/x/y.pem", false),
        (r"/\x61?", "/ab", true),
        ("/[!a]", "/a", false),
        ("/", "", true),
    ] {
        assert_eq!(fits(pattern, path.as_bytes()), expected, "{pattern} {path}");
    }
}
