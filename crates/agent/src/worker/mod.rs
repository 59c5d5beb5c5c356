//! The half that needs no privilege of its own: reads the rings, follows processes, runs rules,
//! writes alerts and serves the control socket.
//!
//! | thread | does |
//! |---|---|
//! | main | rings, engine, matches: one call stack from record to alert |
//! | guard | reads what the guard says |
//! | output | writes to standard output |
//! | spool | writes what other outputs are to be told |
//! | control | serves the control socket |
//! | rules | reads and keeps rules, when that is asked for |
//! | watch | looks whether rule files have changed |
//! | suppressions | reads those again when they have changed |
//! | incidents | keeps incidents on the disk |
//! | recorder | packs and writes recordings |

mod acts;
mod arms;
mod board;
mod broker;
mod changes;
mod control;
mod denied;
mod events;
mod filter;
mod generations;
mod health;
mod host;
mod hub;
mod link;
mod metrics;
mod output;
mod packs;
mod policies;
mod publisher;
mod queue;
mod recorder;
mod reload;
mod resolver;
mod rules;
mod scripts;
mod settle;
mod snapshot;
mod spooler;
mod status;
mod suppressing;
mod taken;
mod trial;
mod watch;

pub(crate) use acts::wanted;
pub(crate) use filter::Filter;
pub(crate) use generations::in_force;
pub(crate) use host::{boot_time, read_limited};
pub(crate) use publisher::ancestors;
pub(crate) use recorder::history::{DIRECTORY as HISTORY, segments};
pub(crate) use rules::places as rule_places;
pub(crate) use suppressing::places as suppression_places;
pub(crate) use watch::look;
pub(crate) use watch::{Seen, Watch};

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use engine::{Engine, Host, Limits};
use kernel::rings::Rings;

use crate::audit::Audit;
use crate::cli::{Format, RunArgs, WorkerArgs};
use crate::exit::{Exit, Failure};
use crate::guard;
use crate::landlock;
use crate::redact::Redactor;
use crate::render;
use crate::seccomp::{self, Kind};
use board::Board;
use changes::Changing;
use control::Control;
use events::Worker;
use generations::Generations;
use health::Health;
use link::{Link, News};
use output::{Output, Outputs};
use publisher::Publisher;
use recorder::Recorder;
use reload::Fresh;
use status::Confined;
use suppressing::Suppressing;

/// Results that the pipes of a rule hold back: the end that they wait for never comes.
const ROWS_MAX: usize = 4_096;

/// Confines a process that reads rules, before it does: no network, and with `--seccomp` its list of system
/// calls and the files that it may reach.
pub(crate) fn confine(args: &RunArgs, kind: Kind) -> Result<Confined, Failure> {
    let landlock = if args.seccomp { landlock::reader_of_rules(args, kind)? } else { None };
    seccomp::no_network()?;
    if args.seccomp {
        seccomp::process(kind)?;
    }
    Ok(Confined { seccomp: args.seccomp, landlock })
}

/// Files and directories that are read because the operator named them.
pub(crate) fn read_places(args: &RunArgs) -> Vec<PathBuf> {
    let mut all = rules::directories(args);
    all.extend(packs::watched(args));
    all.extend(args.redact.clone());
    all
}

/// Runs until the guard says stop, or has gone.
pub(crate) fn run(args: &WorkerArgs) -> Result<Exit, Failure> {
    // ^C reaches the whole process group; only the guard's word ends a worker.
    let _signals = guard::block_signals()?;
    if let Err(error) = rustix::thread::set_name(c"aegisbpf-worker") {
        tracing::debug!(%error, "the process keeps its name");
    }
    let (link, news) = Link::open()?;
    unprivileged()?;
    goes_first();
    // Its addresses are the last that is asked of the network.
    let (host, user) = (host::identity::read(), status::user());
    // From here on neither a rule nor a script, nor what gets hold of this process by one, has a network.
    let confined = confine(&args.run, Kind::Worker)?;
    if confined.seccomp && confined.landlock.is_none() {
        tracing::warn!(
            "this kernel has no Landlock: the worker reads and writes what its user may"
        );
    }
    broker::begin(link.broker()?)?;
    let redactor = Redactor::open(args.run.redact.as_deref())?;
    let audit = Arc::new(Audit::through(broker::note)?);
    let end = evaluate(args, (link, news), (host, redactor), &audit, (user, confined));
    audit.finish();
    end
}

/// A worker that could act by itself must not read what strangers wrote.
fn unprivileged() -> Result<(), Failure> {
    let unknown =
        |error| Failure::new(Exit::Internal, format!("what the worker may is unknown: {error}"));
    rustix::thread::set_no_new_privs(true).map_err(unknown)?;
    let sets = rustix::thread::capabilities(None).map_err(unknown)?;
    let has_some = !(sets.permitted | sets.effective | sets.inheritable).is_empty();
    if rustix::process::geteuid().is_root() || has_some {
        let message = "the worker has privileges and will not go on";
        return Err(Failure::new(Exit::Internal, message)
            .help("it is started by `aegisbpf run`, as root, and becomes the user of --user"));
    }
    Ok(())
}

/// Where memory is short, the kernel ends the worker before the guard: that starts another one, and meanwhile
/// goes on to enforce.
fn goes_first() {
    /// In thousandths of all memory, or of the limit of the unit: more than one of them takes beyond the other.
    const MORE: i32 = 400;
    /// What the kernel knows as the first of all.
    const MOST: i32 = 1_000;
    let path = Path::new("/proc/self/oom_score_adj");
    let now = read_limited(path, 16)
        .ok()
        .and_then(|text| std::str::from_utf8(&text).ok()?.trim().parse::<i32>().ok());
    let next = now.unwrap_or_default().saturating_add(MORE).min(MOST);
    if let Err(error) = std::fs::write(path, next.to_string()) {
        tracing::warn!(%error, "where memory is short, the guard may be ended before the worker");
    }
}

/// Reads the rules, and has them evaluated until the end.
fn evaluate(
    args: &WorkerArgs,
    (link, news): (Link, SyncSender<News>),
    (host, redactor): (Host, Redactor),
    audit: &Arc<Audit>,
    (user, confined): (String, Confined),
) -> Result<Exit, Failure> {
    let seen = watch::Seen::default();
    let generations = Generations::new(&args.run, seen.clone(), Arc::clone(audit));
    // Other options are another beginning: what was on trial was so under those of before.
    let fresh = generations.begin(if args.anew { 0 } else { args.restarts })?;
    let Fresh { prepared, interest, set, infos, scripts, arms, acts, recorded, trial } = fresh;
    let (board, loaded) = (Arc::new(Board::new()), set.loaded);
    board.put_rules(set);
    let health = Health::new(infos, args.run.max_alerts);
    let about = status::About {
        user,
        started: args.started,
        worker_started: status::seconds_since_boot(),
        restarts: args.restarts,
        confined,
    };
    // Whoever acts on the host must not be able to tell which join keys meet.
    let seed = RandomState::new().hash_one(());
    let limits = Limits { seed, rows: ROWS_MAX, ..Limits::default() };
    let (state, history) = (&args.run.state_dir, args.run.history.0);
    let recorder = Recorder::start((host.clone(), ROWS_MAX), recorded, state, history)?;
    let about_host = host::identity::document(&host);
    let engine = Engine::of(prepared, host, limits);
    let suppressing = Suppressing::start(&args.run, audit)?;
    let notice = match args.run.output {
        Format::Compact => queue::text_notice,
        Format::Json | Format::Ocsf => queue::json_notice,
        Format::Cef => render::export::cef_notice,
    };
    let spool = args.kept.0.map(|bounds| spooler::start(state, bounds)).transpose()?;
    let output = Outputs { stdout: Output::stdout(notice, args.restarts > 0 || args.anew)?, spool };
    let publisher = Publisher::new(output, health, redactor, about_host, &args.run);
    let (commands, waiting) = sync_channel(control::COMMANDS_MAX);
    let mut worker = Worker::new(
        engine,
        interest,
        (publisher, recorder),
        (arms, acts, scripts),
        (&args.run, Changing::new(&args.run, generations), Arc::clone(audit), suppressing),
        Arc::clone(&board),
        link.asker(),
    );
    worker.try_out(trial);
    worker.introduce()?;
    // The guard loads nothing before the rules have been found sound and have said what they need.
    worker.subscribe()?;
    let mut rings = Rings::new(link.rings()?)
        .map_err(|error| Failure::new(Exit::Internal, error.to_string()))?;
    link.listen(&board, news)?;
    // Processes that start from here on are in the rings; the snapshot has those before.
    let News::Snapshot(fd) = link.snapshot()? else { return Ok(Exit::Ok) };
    worker.read_snapshot(fd);
    worker.catch_up(&mut rings);
    worker.publish_figures();
    if !args.run.no_watch {
        watch::start(&args.run, seen, worker.changing.changed())?;
    }
    let asking = policies::Asking::default();
    let socket = guard::runtime::socket_path(&args.run.runtime_dir);
    control::start(
        broker::listen()?,
        Control {
            board,
            guard: link.asker(),
            events: commands,
            about,
            asking,
            state: state.clone(),
        },
    )?;
    tracing::info!(rules = loaded, socket = %socket.display(), "watching");
    // All that it started is there, and what it does from here on is little.
    seccomp::thread(Kind::Events);
    worker.work(rings, &link, &waiting)
}
