//! What must not get through of what is done to the agent itself.

use super::{Line, line};

const AGENT: &str = "The agent itself";

/// The lines.
pub(super) const LINES: &[Line] = &[
    line(
        AGENT,
        "killed, stopped, started again, replaced",
        &[
            "agent/kill -9 of the loader",
            "run/kill -9 of the worker",
            "run/kill -9 of the guard, and the next agent",
            "run/kill -9 of both, and nobody for a minute",
            "run/both stopped",
            "run/an upgrade to another build, and back",
            "run/an upgrade to a build with other maps, and back",
            "run/what was inherited outlives the agent",
            "run/a clean stop",
        ],
    ),
    line(
        AGENT,
        "what ends it: only what the operator said",
        &[
            "run/an agent without --enforce after one with it",
            "run/enforcement that ends with the agent",
            "run/emergency disable and enable",
            "run/emergency disable without an agent",
        ],
    ),
    line(
        AGENT,
        "policies replaced under load",
        &["agent/reloads under load", "run/a file of policies that changes", "run/rollback"],
    ),
    line(
        AGENT,
        "a flood of a million denials, to hide one among them",
        &["run/one denial in a flood of a million"],
    ),
    line(
        AGENT,
        "policies that are broken, or lock everybody out",
        &[
            "agent/reloads under load",
            "run/broken policies change nothing",
            "run/a policy that denies everything",
        ],
    ),
    line(
        AGENT,
        "what is only reported denies nothing",
        &[
            "agent/what is only reported",
            "run/audit reports and denies nothing",
            "run/audit, after, and a mode of its own",
        ],
    ),
    line(
        AGENT,
        "the last step of a sequence",
        &["run/a rule that denies", "run/the last step of a sequence"],
    ),
    line(
        AGENT,
        "strangers and its maps, programs, links and their pins",
        &[
            "own/a map by its number",
            "own/the tables by their number",
            "own/a program by its number",
            "own/a link by its number",
            "own/a map by its pin",
            "own/removal of a pin",
            "own/renaming the pins",
            "own/unmounting the pins",
            "own/unmounting what is above the pins",
            "own/mounting over the pins",
        ],
    ),
    line(
        AGENT,
        "strangers and its processes",
        &["own/tracing", "own/its memory", "own/a signal", "own/running it under a tracer"],
    ),
    line(
        AGENT,
        "strangers and its program, unit, policies and keys",
        &[
            "own/removing its program",
            "own/renaming its program",
            "own/changing a file",
            "own/truncating a file",
            "own/a new file",
            "own/removing a file",
            "own/renaming what is above",
        ],
    ),
    line(
        AGENT,
        "the same, by the agent as it is started, and only reported",
        &["run/strangers and an agent that protects itself", "own/reported without"],
    ),
];
