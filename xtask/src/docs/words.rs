//! Commands within sentences and tables, which nobody runs: they name commands and options that there are.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::PROGRAMS;
use crate::sh;

/// What the programs say of themselves, asked once for each command.
pub(super) struct Helps {
    known: BTreeMap<String, Help>,
    ask: fn(&[&str]) -> Result<String>,
}

/// One page of help.
struct Help {
    commands: BTreeSet<String>,
    options: BTreeSet<String>,
}

impl Helps {
    /// From the programs in the namespace.
    pub(super) fn of_programs() -> Helps {
        Helps::by(|path| {
            let (program, rest) = path.split_first().unwrap_or((&"", &[]));
            let place = std::path::Path::new(super::BINARIES).join(program);
            sh::capture(super::tool(&place.to_string_lossy()).args(rest).arg("--help"))
        })
    }

    fn by(ask: fn(&[&str]) -> Result<String>) -> Helps {
        Helps { known: BTreeMap::new(), ask }
    }

    /// What a page says of commands that is not so, each with its line.
    pub(super) fn wrong(&mut self, text: &str) -> Result<Vec<String>> {
        let mut findings = Vec::new();
        for (line, code) in spoken(text) {
            if let Some(fault) = self.fault(code)? {
                findings.push(format!("{line}: `{code}`: {fault}"));
            }
        }
        Ok(findings)
    }

    fn fault(&mut self, code: &str) -> Result<Option<String>> {
        let mut words =
            code.split_whitespace().take_while(|word| !["|", "&&", ";"].contains(word)).peekable();
        let Some(program) = words.next().filter(|word| PROGRAMS.contains(word)) else {
            return Ok(None);
        };
        let mut path = vec![program];
        while let Some(word) = words.peek().copied() {
            let commands = &self.help(&path)?.commands;
            // Words in capitals stand for others.
            if !commands.contains(word) {
                let is_name = word.chars().all(|one| one.is_ascii_lowercase() || one == '-');
                let is_command = !commands.is_empty() && is_name && !word.starts_with('-');
                if is_command {
                    return Ok(Some(format!("{} knows no command `{word}`", path.join(" "))));
                }
                break;
            }
            path.push(word);
            words.next();
        }
        let options = &self.help(&path)?.options;
        let missing = words.filter_map(option).find(|option| !options.contains(*option));
        Ok(missing.map(|option| format!("{} knows no option {option}", path.join(" "))))
    }

    fn help(&mut self, path: &[&str]) -> Result<&Help> {
        let key = path.join(" ");
        if !self.known.contains_key(&key) {
            let help = Help::of(&(self.ask)(path)?);
            self.known.insert(key.clone(), help);
        }
        self.known.get(&key).ok_or_else(|| anyhow::anyhow!("no help of {key}"))
    }
}

impl Help {
    fn of(text: &str) -> Help {
        let listed = text.lines().skip_while(|line| *line != "Commands:").skip(1);
        let listed = listed.take_while(|line| !line.is_empty());
        let names = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        Help {
            commands: names
                .filter_map(|line| line.split_whitespace().next())
                .map(str::to_owned)
                .collect(),
            options: text
                .split(['[', ' ', '\n', ',', '`'])
                .filter_map(option)
                .map(str::to_owned)
                .collect(),
        }
    }
}

/// The option that a word names, without its value.
fn option(word: &str) -> Option<&str> {
    let name = word.strip_prefix("--")?;
    let is_part = |one: char| one.is_ascii_lowercase() || one.is_ascii_digit() || one == '-';
    let end = name.find(|one| !is_part(one)).unwrap_or(name.len());
    (end > 0).then(|| word.get(..end + 2)).flatten()
}

/// Code within the lines of a page, outside its blocks.
fn spoken(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    let outside = (1..).zip(text.lines()).filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        fenced ^= is_fence;
        !fenced && !is_fence
    });
    outside.flat_map(|(number, line)| {
        line.split('`').skip(1).step_by(2).map(move |code| (number, code))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(path: &[&str]) -> String {
        let options = "Options:\n      --since <TIME>\n  -h, --help  Print help\n";
        match path {
            ["aegisbpf"] => format!(
                "Commands:\n  audit  Look at\n           the log\n  run    Watch\n\n{options}"
            ),
            ["aegisbpf", "audit"] => format!("Commands:\n  verify  Find out\n\n{options}"),
            _ => format!("Usage: x\n\n{options}"),
        }
    }

    fn wrong(text: &str) -> Vec<String> {
        Helps::by(|path| Ok(told(path))).wrong(text).unwrap()
    }

    #[test]
    fn commands_and_options_that_are_gone_are_found() {
        assert_eq!(
            wrong("a\n`aegisbpf adit`\n"),
            ["2: `aegisbpf adit`: aegisbpf knows no command `adit`"]
        );
        let said = wrong("x `aegisbpf audit check` and `aegisbpf run --sinc 2h`\n");
        assert!(said[0].ends_with("aegisbpf audit knows no command `check`"), "{said:?}");
        assert!(said[1].ends_with("aegisbpf run knows no option --sinc"), "{said:?}");
    }

    #[test]
    fn what_is_there_or_stands_for_others_is_not() {
        let fine = "`aegisbpf audit verify --since=2h` `aegisbpf COMMAND --help` `aegisbpf`, `kestrel x.toml | cut --bytes 1`\n\
                    `systemctl reload aegisbpf` `aegisbpf run --since …`\n```sh\naegisbpf adit\n```\n";
        assert_eq!(wrong(fine), [""; 0]);
    }
}
