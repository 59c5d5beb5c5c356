//! `kestrel completions` and `kestrel man`: what shells and `man` know of the command line, made
//! from the command line itself, so that it cannot be out of date.

use std::io::{self, Write};
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::output::Status;

/// Prints the completions of a shell.
pub(crate) fn completions(shell: Shell) -> io::Result<Status> {
    io::stdout().lock().write_all(script(shell).as_bytes())?;
    Ok(Status::Fine)
}

fn script(shell: Shell) -> String {
    // In memory: on a pipe that is closed the library would panic.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "kestrel", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Writes one page a command into a directory.
pub(crate) fn man(directory: &Path) -> io::Result<Status> {
    clap_mangen::generate_to(Cli::command(), directory)?;
    Ok(Status::Fine)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::ValueEnum;

    use super::*;

    /// The commands that users see.
    fn commands() -> Vec<String> {
        let all = Cli::command();
        let shown = all.get_subcommands().filter(|command| !command.is_hide_set());
        shown.map(|command| command.get_name().to_owned()).collect()
    }

    #[test]
    fn completions_of_each_shell_name_each_command() {
        assert!(commands().contains(&"query".to_owned()));
        for shell in Shell::value_variants() {
            let script = script(*shell);
            for command in commands() {
                assert!(script.contains(&command), "{shell}: no {command}");
            }
            assert!(script.contains("id-field"), "{shell}: options too");
        }
    }

    #[test]
    fn each_command_has_a_page_and_the_first_page_names_all() {
        let directory = tempfile::tempdir().unwrap();
        man(directory.path()).unwrap();
        let page = |name: &str| {
            let text = fs::read_to_string(directory.path().join(format!("{name}.1"))).unwrap();
            assert!(text.contains(".SH NAME") && text.contains(".SH SYNOPSIS"), "{name}: {text}");
            text
        };
        let first = page("kestrel");
        for command in commands() {
            let name = format!("kestrel\\-{command}(1)");
            assert!(first.contains(&name), "no {name}: {first}");
            let about = Cli::command()
                .find_subcommand(&command)
                .and_then(clap::Command::get_about)
                .unwrap()
                .to_string();
            let text = page(&format!("kestrel-{command}")).replace('\\', "");
            assert!(text.contains(about.split(',').next().unwrap()), "{command}: {text}");
        }
        assert!(!first.contains("kestrel\\-man"), "what is hidden has no page");
        let missing = directory.path().join("missing");
        assert!(man(&missing).is_err(), "there is no such directory");
    }
}
