//! Which DNS names a rule about a domain means.

/// Whether a domain of a rule means this name. `*.` at its beginning stands for one or more labels, so
/// `*.example.org` does not mean `example.org`. Case and a dot at the end of the name make no difference;
/// the domain is written as rules hold it, in lower case and without that dot. Names beyond ASCII are
/// compared in the form that is asked for (`xn--…`).
pub fn means(domain: &str, name: &str) -> bool {
    let (domain, name) = (domain.as_bytes(), name.strip_suffix('.').unwrap_or(name).as_bytes());
    let Some(end) = domain.strip_prefix(b"*") else { return name.eq_ignore_ascii_case(domain) };
    let Some((front, rest)) = name.split_at_checked(name.len().saturating_sub(end.len())) else {
        return false;
    };
    // Labels are never empty, neither the first that the star stands for nor the last.
    end.first() == Some(&b'.')
        && rest.eq_ignore_ascii_case(end)
        && front.split(|byte| *byte == b'.').all(|label| !label.is_empty())
}

/// Whether a domain of a rule stands for many names, which nobody can ask for.
pub fn is_wild(domain: &str) -> bool {
    domain.starts_with('*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_domain_means_its_names_and_no_others() {
        for (domain, name, wanted) in [
            ("example.org", "example.org", true),
            ("example.org", "EXAMPLE.oRG.", true),
            ("example.org", "www.example.org", false),
            ("example.org", "example.org..", false),
            ("*.example.org", "www.example.org", true),
            ("*.example.org", "a.b.EXAMPLE.org.", true),
            ("*.example.org", "xn--bcher-kva.example.org", true),
            ("*.example.org", "bücher.example.org", true),
            ("*.example.org", "example.org", false),
            ("*.example.org", ".example.org", false),
            ("*.example.org", "a..example.org", false),
            ("*.example.org", ".a.example.org", false),
            ("*.example.org", "anexample.org", false),
            ("*.example.org", "www.example.org.evil.test", false),
            ("*.example.org", "www.example.com", false),
            ("*.example.org", "", false),
            ("*", "example.org", false),
            ("", "example.org", false),
        ] {
            assert_eq!(means(domain, name), wanted, "{domain} {name}");
        }
    }

    proptest! {
        #[test]
        fn a_wildcard_means_what_has_labels_in_front_and_nothing_else(
            front in "[a-zA-Z0-9_-]{0,3}(\\.[a-z0-9]{1,3}){0,2}",
            end in "[a-z]{1,3}(\\.[a-z]{1,3}){0,2}",
            other in "\\PC{0,12}",
            dot in "\\.?",
        ) {
            let labels = |text: &str| -> Vec<String> {
                let text = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
                text.split('.').map(str::to_owned).collect()
            };
            let wild = format!("*.{end}");
            for name in [format!("{front}.{end}{dot}"), format!("{other}{dot}"), format!("{front}{end}")] {
                let (own, wanted) = (labels(&name), labels(&end));
                let slow = own.len() > wanted.len() && own.ends_with(&wanted)
                    && own[..own.len() - wanted.len()].iter().all(|label| !label.is_empty());
                prop_assert_eq!(means(&wild, &name), slow, "{} {}", wild, name);
                prop_assert_eq!(means(&end, &name), own == wanted, "{} {}", end, name);
            }
        }
    }
}
