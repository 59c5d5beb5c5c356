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
