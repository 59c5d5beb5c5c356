//! What may be changed from a page: only where the console was started with `--allow-changes`, only from a
//! form of ours. The agent checks and writes down what is asked as of any client.

use std::sync::Arc;

use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value as Json;

use super::page::{Sheet, refusal};
use super::told::{count, list, word};
use super::{Console, Shared, answer, door};
use crate::cli::emergency::{DisableArgs, EnableArgs};
use crate::client;
use crate::cmd::actions::undo;
use crate::cmd::emergency as switch;
use crate::exit::{Exit, Failure};
use crate::policy::store::REASON_MAX;
use crate::proto::What;

/// What a form says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    /// That it is one of ours.
    form: String,
    reason: Option<String>,
    id: Option<u64>,
    enforce: Option<bool>,
}

/// Something that can be changed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offer<'a> {
    /// Where the form goes.
    pub(super) action: &'static str,
    /// What its button says.
    pub(super) button: &'static str,
    /// What is changed to what.
    pub(super) says: Option<(&'static str, &'a str)>,
    /// What it does, for who does not know.
    pub(super) about: &'static str,
    /// Whether the agent writes down a reason, too.
    pub(super) reason: bool,
}

/// Its form, if changes are allowed.
pub(super) fn form(console: &Console, offer: Offer<'_>) -> Markup {
    if !console.args.allow_changes {
        return html! {};
    }
    html! {
        form .change method="post" action=(offer.action) {
            @if !offer.about.is_empty() { p { (offer.about) } }
            input type="hidden" name="form" value=(console.secrets.form);
            @if let Some((name, value)) = offer.says { input type="hidden" name=(name) value=(value); }
            @if offer.reason {
                label { "Reason, for the audit log"
                    input name="reason" required maxlength=(REASON_MAX) autocomplete="off";
                }
            }
            button .danger[offer.reason] { (offer.button) }
        }
    }
}

/// Whether a change may be asked for at all.
fn admit(console: &Console, change: &Change) -> Result<(), (StatusCode, &'static str)> {
    if !console.args.allow_changes {
        let why = "this console only shows: start it with --allow-changes to change something";
        return Err((StatusCode::FORBIDDEN, why));
    }
    if !door::knows(&change.form, &console.secrets.form) {
        let why = "this form is not of the console that runs: load the page again";
        return Err((StatusCode::FORBIDDEN, why));
    }
    Ok(())
}

/// Why it is asked for.
fn reason(change: &Change) -> Result<String, Failure> {
    let given = change.reason.as_deref().map(str::trim).unwrap_or_default();
    if given.is_empty() || given.chars().count() > REASON_MAX {
        let message =
            format!("say why, in at most {REASON_MAX} letters, for those who read the audit log");
        return Err(Failure::new(Exit::Usage, message));
    }
    Ok(given.to_owned())
}

/// Does what a form asks for, and tells what came of it.
async fn tell(
    console: Arc<Console>,
    change: Change,
    back: &'static str,
    work: fn(&Console, &Change) -> Result<String, Failure>,
) -> Response {
    if let Err((status, why)) = admit(&console, &change) {
        return refusal(status, why);
    }
    let work = move |console: &Console| {
        let text = work(console, &change)?;
        let body = html! {
            section .card role="status" { p .loud { (text) } }
            p { a href=(back) { "Back" } }
        };
        Ok(Sheet::new("Done", body))
    };
    answer(console, back, work).await
}

pub(super) async fn rollback(State(console): Shared, Form(change): Form<Change>) -> Response {
    tell(console, change, "/responses", |console, change| {
        let id = change.id.ok_or_else(|| Failure::new(Exit::Usage, "name the action"))?;
        let told = undo(&console.args.dirs.runtime_dir, What::One(id), &reason(change)?)?;
        Ok(list(&told, "/undone").iter().map(undone).collect::<Vec<_>>().join("; "))
    })
    .await
}

fn undone(one: &Json) -> String {
    let (id, was, error) = (count(one, "/id"), word(one, "/was"), word(one, "/error"));
    match error.as_str() {
        "" if one.get("goes_on").is_some() => format!("{id} is being undone ({was})"),
        "" => format!("{id} is undone ({was})"),
        why => format!("{id} is not undone ({was}): {why}"),
    }
}

pub(super) async fn reload(State(console): Shared, Form(change): Form<Change>) -> Response {
    tell(console, change, "/rules", |console, _| {
        let told = client::post(&console.args.dirs.runtime_dir, "/v1/reload")?.json()?;
        Ok(format!("{} rules run, {} refused", count(&told, "/loaded"), count(&told, "/refused")))
    })
    .await
}

pub(super) async fn emergency(State(console): Shared, Form(change): Form<Change>) -> Response {
    tell(console, change, "/policies", |console, change| {
        let (dirs, reason) = (console.args.dirs.clone(), reason(change)?);
        let mut said = Vec::new();
        match change.enforce {
            Some(true) => switch::enable(&EnableArgs { reason, dirs }, &mut said)?,
            Some(false) => {
                switch::disable(&DisableArgs { reason, persist: false, dirs }, &mut said)?
            }
            None => return Err(Failure::new(Exit::Usage, "say whether to enforce")),
        };
        Ok(String::from_utf8_lossy(&said).trim().to_owned())
    })
    .await
}
