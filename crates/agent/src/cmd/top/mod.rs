//! `aegisbpf top`: what the running agent sees and how it fares, in the terminal.
//!
//! | module | knows |
//! |---|---|
//! | `look` | what the control socket says, and what changed between two looks |
//! | `tree` | processes with alerts, below those that started them |
//! | `view` | where all of it stands on the screen |

pub(super) mod look;
mod tree;
mod view;

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use serde_json::json;

use crate::cli::Output;
use crate::cli::top::TopArgs;
use crate::exit::{Exit, Failure};
use look::{Look, Rates};
use view::Screen;

/// Between two looks at the agent.
const PERIOD: Duration = Duration::from_secs(1);
/// How long a key may wait.
const KEYS: Duration = Duration::from_millis(100);

/// Shows it until somebody wants no more, or once.
pub(crate) fn run(args: &TopArgs) -> Result<Exit, Failure> {
    let first = Look::take(&args.runtime_dir)?;
    if args.output == Output::Json || !std::io::stdout().is_terminal() {
        std::thread::sleep(PERIOD);
        let second = Look::take(&args.runtime_dir)?;
        let rates = Rates::between(&first, &second);
        let (tree, look) = (tree::Tree::of(&second.alerts), second);
        let shown = json!({
            "status": look.status, "rules": look.rules, "rates": rates, "tree": tree.json(), "alerts": look.alerts,
        });
        writeln!(anstream::stdout(), "{shown:#}")?;
        return Ok(Exit::Ok);
    }
    let looks = looks(&args.runtime_dir)?;
    let mut terminal = ratatui::try_init()?;
    let end = watch(&mut terminal, first, &looks);
    let restored = ratatui::try_restore();
    end?;
    restored?;
    Ok(Exit::Ok)
}

/// A thread that looks, so that an agent that is slow to answer stops no key.
fn looks(runtime_dir: &Path) -> Result<Receiver<Result<Look, Failure>>, Failure> {
    let (sender, receiver) = sync_channel(1);
    let place = runtime_dir.to_owned();
    let look = move || {
        loop {
            std::thread::sleep(PERIOD);
            if sender.send(Look::take(&place)).is_err() {
                return;
            }
        }
    };
    let started = std::thread::Builder::new().name("look".to_owned()).spawn(look);
    started
        .map_err(|error| Failure::new(Exit::Internal, format!("cannot start a thread: {error}")))?;
    Ok(receiver)
}

fn watch(
    terminal: &mut DefaultTerminal,
    first: Look,
    looks: &Receiver<Result<Look, Failure>>,
) -> std::io::Result<()> {
    let mut screen = Screen::new(first);
    loop {
        terminal.draw(|frame| screen.draw(frame))?;
        if event::poll(KEYS)?
            && let Event::Key(key) = event::read()?
            && key.kind == KeyEventKind::Press
        {
            let ends =
                key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c');
            match key.code {
                KeyCode::Char('q') | KeyCode::Esc => return Ok(()),
                _ if ends => return Ok(()),
                KeyCode::Char('p' | ' ') => screen.pause(),
                KeyCode::Down | KeyCode::Char('j') => screen.scroll(1),
                KeyCode::Up | KeyCode::Char('k') => screen.scroll(-1),
                _ => {}
            }
        }
        // The newest is shown; an older one that nobody has seen yet is of no use.
        while let Ok(look) = looks.try_recv() {
            screen.take(look);
        }
    }
}
