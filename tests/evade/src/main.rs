//! Tries the tricks that get around prevention.
//!
//! `evade guest` puts a policy in force by LSM programs and, for each case, lets two processes do the
//! same deed in two directories that are the same: one that the rule covers, which must be denied
//! **and** told with the rule that denied it, and one that no rule covers, which must succeed. So a
//! deed that fails for another reason is a failure of the case.
//!
//! | module | holds |
//! |---|---|
//! | `agent` | the agent itself, with the commands of an operator |
//! | `cases` | the tricks, by area |
//! | `kept` | files that are known by their maker, over reloads |
//! | `lab` | the directories, the policy, the kernel half |
//! | `lines` | the kinds of tricks, and the cases of each |
//! | `host` | the same cases where no LSM program loads, with the agent itself |
//! | `root` | a root of its own for that |
//! | `table` | the table in the documentation, from what the suites printed |
//! | `tables` | from the text of the policy to what the kernel half takes |
//! | `own` | strangers meddle with the agent itself |
//! | `run` | runs the cases, prints the table |
//! | `count` | what prevention costs, in instructions |
//! | `hammer` | reloads under load, and the death of the loader |
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]

mod agent;
mod cases;
mod count;
mod hammer;
mod host;
mod kept;
mod lab;
mod lines;
mod own;
mod root;
mod run;
mod table;
mod tables;

use std::process::ExitCode;

const USAGE: &str = "usage: evade guest [--only WORD] [--reloads N]\n       evade agent --agent PATH\n       evade other-build AGENT programs|maps FILE\n       evade host --agent PATH [--only WORD] [--reloads N]\n       evade own\n       evade table NAME=FILE…\n       evade count [TABLES…]\n       evade compile RULES FILE\n       evade do CASE DIRECTORY";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["guest", rest @ ..] => run::command(rest),
        ["agent", rest @ ..] => agent::command(rest),
        ["other-build", rest @ ..] => agent::other_build(rest),
        ["attempt", rest @ ..] => return agent::attempt(rest),
        ["own"] => own::command(),
        ["meddle", rest @ ..] => return own::meddle(rest),
        ["wait"] => lab::wait().map(|()| true),
        ["make", what, at] => {
            cases::made::make(what, at.as_ref()).map(|()| true).map_err(Into::into)
        }
        ["tally", at] => cases::made::tally(at.as_ref()).map(|()| true).map_err(Into::into),
        ["do", case, directory] => return cases::perform(case, directory.as_ref()),
        ["host", rest @ ..] => host::command(rest),
        ["table", rest @ ..] => table::command(rest),
        ["hammer", rest @ ..] => return hammer::strike(rest),
        ["count", files @ ..] => count::command(files),
        ["compile", rules, file] => count::compile(rules, file.as_ref()),
        ["time", deed, object] => count::time(deed, object),
        ["hold", directory] => lab::hold(directory.as_ref()).map(|()| true),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("evade: {error:#}");
            println!("RESULT FAIL {error:#}");
            ExitCode::FAILURE
        }
    }
}
