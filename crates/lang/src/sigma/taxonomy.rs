//! What Sigma's log sources and field names are in the Elastic Common Schema.

use model::field::{DNS_QUESTION_NAME, EVENT_ACTION, EVENT_TYPE};
use model::program::{Expr, Literal, Test};

use super::tree::Detection;

/// How the rules of a log source are read.
#[derive(Debug)]
pub(crate) struct Taxonomy {
    /// Sigma's `category` or `service`.
    name: &'static str,
    /// `event.category` of its events.
    pub(super) category: Option<&'static str>,
    /// What else tells its events from others.
    events: Events,
    /// Names that mean something else here than in [`COMMON`].
    fields: &'static [(&'static str, &'static [&'static str])],
    /// Prefixes of names that are in neither table.
    prefixes: &'static [&'static str],
    /// Whether keywords are looked for in what is typed, too.
    typed: bool,
}

/// Types and actions of events.
#[derive(Debug)]
enum Events {
    All,
    /// Any of these types, and none of these actions.
    Types(&'static [&'static str], &'static [&'static str]),
    /// Any of these actions.
    Actions(&'static [&'static str]),
    /// A file comes to be or gets new content.
    Written,
    /// A name is asked for.
    Questions,
}

/// The raw record in documents: where keywords are looked for.
pub(super) const RAW: &[&str] = &["message", "event.original"];

macro_rules! source {
    ($name:literal, $category:expr, $events:expr, $fields:expr) => {
        Taxonomy {
            name: $name,
            category: $category,
            events: $events,
            fields: $fields,
            prefixes: &[],
            typed: false,
        }
    };
}

/// Categories that have a counterpart among the events of Linux hosts.
static CATEGORIES: &[Taxonomy] = &[
    source!(
        "process_creation",
        Some("process"),
        Events::Types(&["start", "process_started"], &["fork"]),
        &[]
    ),
    source!("process_termination", Some("process"), Events::Types(&["end"], &[]), &[]),
    source!("process_access", Some("process"), Events::Actions(&["ptrace"]), &[]),
    source!("process_tampering", Some("process"), Events::Actions(&["ptrace"]), &[]),
    source!("file_event", Some("file"), Events::Written, &[]),
    source!("file_change", Some("file"), Events::Types(&["change"], &[]), &[]),
    source!("file_rename", Some("file"), Events::Actions(&["rename"]), &[]),
    source!("file_delete", Some("file"), Events::Types(&["deletion"], &[]), &[]),
    source!("file_access", Some("file"), Events::Types(&["access"], &[]), &[]),
    source!(
        "network_connection",
        Some("network"),
        Events::Types(&["start", "connection"], &[]),
        &[]
    ),
    source!("dns_query", None, Events::Questions, &[]),
    source!("dns", None, Events::Questions, DNS),
    source!(
        "driver_load",
        Some("driver"),
        Events::Types(&["start"], &[]),
        &[("ImageLoaded", &["process.Ext.load_module.path", "file.path"])]
    ),
];

const DNS: &[(&str, &[&str])] = &[
    ("query", &["dns.question.name"]),
    ("record_type", &["dns.question.type"]),
    ("answer", &["dns.resolved_ip"]),
];

/// Records of the audit system, as documents carry them.
static AUDITD: Taxonomy = Taxonomy {
    name: "auditd",
    category: None,
    events: Events::All,
    fields: &[
        ("type", &["auditd.message_type", "auditd.data.type"]),
        ("SYSCALL", &["auditd.data.syscall", "auditd.data.SYSCALL"]),
        ("exe", &["auditd.data.exe", "process.executable"]),
        ("comm", &["auditd.data.comm", "process.name"]),
        ("name", &["auditd.data.name", "file.path"]),
        ("key", &["auditd.data.key", "tags"]),
        ("uid", &["auditd.data.uid", "user.id"]),
        ("euid", &["auditd.data.euid", "user.effective.id"]),
        ("auid", &["auditd.data.auid", "user.audit.id", "process.Ext.login_user.id"]),
        ("cwd", &["auditd.data.cwd", "process.working_directory"]),
        ("pid", &["auditd.data.pid", "process.pid"]),
        ("ppid", &["auditd.data.ppid", "process.parent.pid"]),
        ("proctitle", &["auditd.data.proctitle", "process.command_line"]),
    ],
    prefixes: &["auditd.data."],
    typed: true,
};

/// Any other service: text, and fields under the names that the rule gives them.
static SERVICE: Taxonomy = source!("service", None, Events::All, &[]);

/// Neither category nor service.
static TEXT: Taxonomy = Taxonomy {
    name: "text",
    category: None,
    events: Events::All,
    fields: &[],
    prefixes: &[],
    typed: true,
};

/// Names that mean the same in all categories.
const COMMON: &[(&str, &[&str])] = &[
    ("CommandLine", &["process.command_line"]),
    ("Computer", &["host.name"]),
    ("ComputerName", &["host.name"]),
    ("CurrentDirectory", &["process.working_directory"]),
    ("DestinationHostname", &["destination.domain"]),
    ("DestinationIp", &["destination.ip"]),
    ("DestinationPort", &["destination.port"]),
    ("GrandParentImage", &["process.parent.parent.executable"]),
    ("Image", &["process.executable"]),
    ("LogonId", &["process.Ext.login_user.id", "user.audit.id"]),
    ("OriginalFileName", &["process.pe.original_file_name"]),
    ("ParentCommandLine", &["process.parent.command_line"]),
    ("ParentImage", &["process.parent.executable"]),
    ("ParentProcessGuid", &["process.parent.entity_id"]),
    ("ParentProcessId", &["process.parent.pid"]),
    ("ParentUser", &["process.parent.user.name"]),
    ("ProcessGuid", &["process.entity_id"]),
    ("ProcessId", &["process.pid"]),
    ("Protocol", &["network.transport"]),
    ("QueryName", &["dns.question.name"]),
    ("QueryResults", &["dns.resolved_ip"]),
    ("SourceFilename", &["file.Ext.original.path"]),
    ("SourceHostname", &["source.domain"]),
    ("SourceImage", &["process.executable"]),
    ("SourceIp", &["source.ip"]),
    ("SourcePort", &["source.port"]),
    ("SourceProcessId", &["process.pid"]),
    ("TargetFilename", &["file.path"]),
    ("TargetImage", &["process.Ext.target.executable"]),
    ("TargetProcessId", &["process.Ext.target.pid"]),
    ("User", &["user.name"]),
    ("md5", &["process.hash.md5"]),
    ("sha1", &["process.hash.sha1"]),
    ("sha256", &["process.hash.sha256"]),
];

/// How a rule is read, or why it is not.
pub(super) fn of(rule: &Detection) -> Result<&'static Taxonomy, String> {
    if let Some(product) = rule.product.as_deref().filter(|one| !one.eq_ignore_ascii_case("linux"))
    {
        return Err(format!("its log source is the product `{product}`, and events are of Linux"));
    }
    match (rule.category.as_deref(), rule.service.as_deref()) {
        (Some(category), _) => {
            CATEGORIES.iter().find(|one| one.name == category).ok_or_else(|| {
                format!("no event of a Linux host corresponds to the category `{category}`")
            })
        }
        (None, Some("auditd")) => Ok(&AUDITD),
        (None, Some(_)) => Ok(&SERVICE),
        (None, None) => Ok(&TEXT),
    }
}

impl Taxonomy {
    /// Fields of which any may hold what Sigma calls `name`.
    pub(super) fn fields(&self, name: &str) -> Vec<String> {
        let tables = self.fields.iter().chain(COMMON);
        let known = tables.into_iter().find(|(sigma, _)| *sigma == name);
        match known {
            Some((_, fields)) => fields.iter().map(|field| (*field).to_owned()).collect(),
            None if self.prefixes.is_empty() => vec![name.to_owned()],
            None => self.prefixes.iter().map(|prefix| format!("{prefix}{name}")).collect(),
        }
    }

    /// Live events whose record has a value under that name, or a text, that satisfies the test.
    pub(super) fn view(&self, name: Option<&str>, test: &Test) -> Option<Expr> {
        match name {
            None => self.typed.then(|| super::audit::typed(test)),
            Some(name) if self.name == AUDITD.name => super::audit::view(name, test),
            Some(_) => None,
        }
    }

    /// What holds for each event of the log source.
    pub(super) fn constraint(&self) -> Option<Expr> {
        match self.events {
            Events::All => None,
            Events::Types(types, []) => Some(words(EVENT_TYPE, types)),
            Events::Types(types, not) => Some(Expr::And(vec![
                words(EVENT_TYPE, types),
                Expr::Not(Box::new(words(EVENT_ACTION, not))),
            ])),
            Events::Actions(actions) => Some(words(EVENT_ACTION, actions)),
            Events::Questions => Some(Expr::Test(DNS_QUESTION_NAME, Test::Exists)),
            Events::Written => Some(Expr::Or(vec![
                words(EVENT_TYPE, &["creation"]),
                words(EVENT_ACTION, &["modification", "overwrite", "rename"]),
            ])),
        }
    }
}

fn words(field: model::field::FieldId, any: &[&str]) -> Expr {
    let any = any.iter().map(|word| Literal::Str(word.as_bytes().to_vec())).collect();
    Expr::Test(field, Test::Equals { any, fold: false })
}
