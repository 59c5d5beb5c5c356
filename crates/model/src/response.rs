//! What a rule asks for when it matches.

/// What a rule asks for besides the alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// `deny`, `kill` …, or the word of the format that the rule came in.
    pub action: String,
    /// The field that names what is acted on (`process.entity_id`), where the rule says so.
    pub field: Option<String>,
}

impl Response {
    /// Refuses the act itself: only possible before it happens.
    pub const DENY: &'static str = "deny";
    /// Those that last, and end by themselves at their time to live.
    pub const LASTING: &'static [&'static str] =
        &[Response::DENY, "stop", "isolate", "isolate-host"];
    /// Seconds that they last at most: whoever comes to see nothing of it in a week will not be seen by
    /// waiting.
    pub const TTL_MAX: u32 = 7 * 24 * 60 * 60;
    /// Words of our own rule files.
    pub const ALL: &'static [&'static str] = &[
        "alert",
        Response::DENY,
        "kill",
        "kill-tree",
        "stop",
        "continue",
        "quarantine",
        "isolate",
        "isolate-host",
        "capture",
        "webhook",
    ];
}
