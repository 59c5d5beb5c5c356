//! The configuration of `aegisbpf run`: files, then the environment, then the command line, the later
//! over the earlier.
//!
//! | module | knows |
//! |---|---|
//! | `keys` | which keys there are: each is an option of `run`, and has its type and its limits from there |
//! | `layers` | which files count, and in which order |
//! | `read` | one file, and the environment |
//! | `schema` | the same for programs |
//!
//! A setting becomes the words of its option, and all of them together are read as one command line: what
//! a key may hold cannot differ from what its option takes.

mod keys;
mod layers;
mod read;
mod schema;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser};

use crate::cli::{Cli, Command, RunArgs};
use crate::exit::{Exit, Failure};
pub(crate) use keys::{Key, Kind, keys};
pub(crate) use layers::Layers;
pub(crate) use schema::schema;

/// What of the files is left out if this option is on the command line, because it says the opposite.
const OPPOSITES: &[(&str, &[&str])] = &[("audit", &["enforce", "self-protect"])];

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody said anything.
    Default,
    /// A file, and the line there.
    File(PathBuf, usize),
    /// A variable of the environment.
    Variable(String),
    /// An option of the command line.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(path, line) => write!(f, "{}:{line}", path.display()),
            Origin::Variable(name) => write!(f, "variable {name}"),
            Origin::CommandLine => f.write_str("command line"),
        }
    }
}

/// What somebody said of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// Of which.
    pub(crate) key: &'static Key,
    /// The values of its option, as text; a switch has `true` or `false`.
    pub(crate) values: Vec<String>,
    /// Who said so.
    pub(crate) origin: Origin,
}

/// All that counts.
#[derive(Debug, Clone)]
pub(crate) struct Effective {
    /// What `run` is told.
    pub(crate) args: RunArgs,
    /// One for each key.
    pub(crate) settings: Vec<Setting>,
}

impl Effective {
    /// A failure of the value of an option: one that does not come from the command line is one of the
    /// configuration, and is named with its place.
    pub(crate) fn blame(&self, option: &str, failure: Failure) -> Failure {
        let setting = self.settings.iter().find(|one| one.key.option == option);
        match setting
            .filter(|one| matches!(failure.exit, Exit::Usage | Exit::Config) && one.is_configured())
        {
            Some(one) => failure.within(Exit::Config, &format!("{}: `{}`", one.origin, one.key)),
            None => failure,
        }
    }

    /// The first directory of rules or packs that was named and is not there.
    pub(crate) fn missing(&self) -> Option<Failure> {
        let named = |one: &&Setting| ["rules", "packs"].contains(&one.key.option);
        let gone = |path: &&String| !Path::new(path).exists();
        let configured = self.settings.iter().filter(named).filter(|one| one.is_configured());
        let mut all = configured.flat_map(|one| one.values.iter().map(move |path| (one, path)));
        let (one, path) = all.find(|(_, path)| gone(path))?;
        let message = format!("{}: `{}`: {path} is not there", one.origin, one.key);
        Some(Failure::new(Exit::RulesUnreadable, message).help("make it, or name another one"))
    }

    /// Keys that another reading says otherwise: those that can change while the agent runs, and the others.
    pub(crate) fn differs(&self, read: &Effective) -> (Vec<String>, Vec<String>) {
        let pairs = self.settings.iter().zip(&read.settings);
        let changed = pairs.filter(|(old, new)| old.values != new.values).map(|(old, _)| old.key);
        let (live, fixed): (Vec<&Key>, Vec<&Key>) = changed.partition(|key| key.is_live());
        let names = |keys: Vec<&Key>| keys.iter().map(ToString::to_string).collect();
        (names(live), names(fixed))
    }

    /// What holds once another reading was taken over: what can change as it says, all else as it was.
    pub(crate) fn followed_by(&self, read: &Effective) -> Result<Effective, Failure> {
        let pairs = self.settings.iter().zip(&read.settings);
        let chosen = pairs.map(|(old, new)| if old.key.is_live() { new } else { old });
        let settings: Vec<Setting> = chosen.cloned().collect();
        let args = &self.args;
        let mut all: Vec<OsString> = vec!["aegisbpf".into(), "run".into()];
        all.extend(["--runtime-dir".into(), args.runtime_dir.clone().into()]);
        all.extend(["--state-dir".into(), args.state_dir.clone().into()]);
        all.extend(args.config.iter().flat_map(|path| ["--config".into(), path.clone().into()]));
        all.extend(args.audit.then(|| "--audit".into()));
        let said = settings.iter().filter(|one| one.origin != Origin::Default);
        all.extend(said.flat_map(Setting::words));
        let read = Cli::try_parse_from(&all).map_err(|error| blame(&error, &settings, &[]))?;
        match read.command {
            Command::Run(args) => Ok(Effective { args, settings }),
            _ => Err(Failure::new(Exit::Internal, "the configuration is none of `run`")),
        }
    }
}

/// What a failure of the configuration looks like.
fn wrong(origin: &dyn fmt::Display, what: &dyn fmt::Display) -> Failure {
    Failure::new(Exit::Config, format!("{origin}: {what}"))
        .help("`aegisbpf config schema` and docs/config.md have all keys")
}

/// The options of `run`, as these words, the files and the environment say; `words` is what stands behind
/// `run`.
pub(crate) fn effective(
    words: &[OsString],
    layers: &Layers,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Effective, Failure> {
    let mut settings = layers.read()?;
    for setting in read::environment(environment)? {
        settings.retain(|one| one.key != setting.key);
        settings.push(setting);
    }
    let given = given(words);
    let is_given = |option: &str| given.iter().any(|one| one.0.option == option);
    let opposed: Vec<&str> = OPPOSITES
        .iter()
        .filter(|(option, _)| words.iter().any(|word| *word == *format!("--{option}")))
        .flat_map(|(_, opposed)| opposed.iter().copied())
        .collect();
    settings.retain(|one| !is_given(one.key.option) && !opposed.contains(&one.key.option));
    let mut all: Vec<OsString> = vec!["aegisbpf".into(), "run".into()];
    all.extend(settings.iter().flat_map(Setting::words));
    all.extend(words.iter().cloned());
    let matches = Cli::command().try_get_matches_from(&all);
    let matches = matches.map_err(|error| blame(&error, &settings, words))?;
    let cli = Cli::from_arg_matches(&matches).map_err(|error| blame(&error, &settings, words))?;
    let Command::Run(args) = cli.command else {
        return Err(Failure::new(Exit::Internal, "the configuration is none of `run`"));
    };
    let settings = keys().map(|key| {
        let said = settings.iter().find(|one| one.key.option == key.option).cloned();
        let given = || {
            let values = given.iter().find(|one| one.0.option == key.option)?.1.clone();
            Some(Setting { key, values, origin: Origin::CommandLine })
        };
        said.or_else(given).unwrap_or_else(|| Setting {
            key,
            values: key.default(),
            origin: Origin::Default,
        })
    });
    Ok(Effective { args, settings: settings.collect() })
}

/// The options that stand on the command line, with their values. What is wrong there is told later.
fn given(words: &[OsString]) -> Vec<(&'static Key, Vec<String>)> {
    let all = ["aegisbpf".into(), "run".into()].into_iter().chain(words.iter().cloned());
    let Ok(matches) = Cli::command().ignore_errors(true).try_get_matches_from(all) else {
        return Vec::new();
    };
    let Some(("run", run)) = matches.subcommand() else { return Vec::new() };
    let stands = |key: &&Key| {
        run.value_source(&key.id()).is_some_and(|source| source == ValueSource::CommandLine)
    };
    let values = |key: &Key| match run.try_get_raw(&key.id()) {
        Ok(Some(values)) => values.map(|one| one.to_string_lossy().into_owned()).collect(),
        _ => Vec::new(),
    };
    keys().filter(stands).map(|key| (key, values(key))).collect()
}

impl Setting {
    /// Whether a file or the environment says so.
    fn is_configured(&self) -> bool {
        matches!(self.origin, Origin::File(..) | Origin::Variable(_))
    }

    /// The words of its option.
    fn words(&self) -> Vec<OsString> {
        let option = self.key.option;
        match self.key.kind() {
            Kind::Switch => {
                let on = self.values.first().is_some_and(|value| value == "true");
                if on { vec![format!("--{option}").into()] } else { Vec::new() }
            }
            _ => self.values.iter().map(|value| format!("--{option}={value}").into()).collect(),
        }
    }
}

/// Says whose setting it was that is wrong; without one that is named it was that of `words`, unless these
/// alone are right.
fn blame(error: &clap::Error, settings: &[Setting], words: &[OsString]) -> Failure {
    let text = error.to_string();
    let lines = text.lines().take_while(|line| !line.is_empty()).map(str::trim);
    let what = lines.collect::<Vec<_>>().join(" ");
    let what = what.trim_start_matches("error: ");
    let named = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(one)) => one.clone(),
        Some(ContextValue::Strings(all)) => all.join(" "),
        _ => String::new(),
    };
    let is_named = |one: &&Setting| {
        let option = format!("--{}", one.key.option);
        named.split([' ', '=', '[', '<']).any(|word| word == option)
    };
    if let Some(setting) = settings.iter().find(is_named) {
        return wrong(&setting.origin, &format_args!("`{}`: {what}", setting.key));
    }
    let alone = ["aegisbpf".into(), "run".into()].into_iter().chain(words.iter().cloned());
    if Cli::command().try_get_matches_from(alone).is_ok() {
        return wrong(&"configuration", &what);
    }
    Failure::new(Exit::Usage, what).help("`aegisbpf run --help` has the options")
}

/// What `run` is told by this process's own words, files and environment.
pub(crate) fn of_this_process(args: &RunArgs) -> Result<Effective, Failure> {
    // The program and `run` come first: no option stands before a command.
    let words: Vec<OsString> = std::env::args_os().skip(2).collect();
    effective(&words, &Layers::of(args.config.as_deref()), std::env::vars_os())
}

/// What files and environment say without any option.
pub(crate) fn of_host(config: Option<&Path>) -> Result<Effective, Failure> {
    effective(&[], &Layers::of(config), std::env::vars_os())
}
