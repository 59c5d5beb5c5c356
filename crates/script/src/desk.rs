//! What a script says beside its answers, what it remembers, and what it is told off for.

use model::program::Severity;
use model::script::{Emitted, Request, Said};
use model::value::Node;

use crate::call::Call;
use crate::cause::{Cause, Stop};
use crate::limits;
use crate::state::{Put, State};
use crate::text;

/// One minute of event time, ns: what is counted by the minute starts anew in the next.
const MINUTE: i64 = 60_000_000_000;
/// One millisecond, ns.
pub(crate) const MILLISECOND: i64 = 1_000_000;

/// The part of a script that functions of the host change.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    said: Said,
    /// The event that it was said about.
    number: Option<u64>,
    /// What it remembers.
    pub(crate) state: State,
    /// What is counted by the minute.
    minute: Minute,
    /// What it was told off for in this call, although the call went on.
    pub(crate) pending: Vec<Stop>,
}

#[derive(Debug, Default)]
struct Minute {
    number: i64,
    alerts: u32,
    refused: u32,
    evicted: bool,
}

impl Desk {
    /// Takes what was said.
    pub(crate) fn take(&mut self) -> Option<Said> {
        let said = std::mem::take(&mut self.said);
        (!said.alerts.is_empty() || !said.requests.is_empty()).then_some(said)
    }

    /// Begins with a new event: what nobody took belongs to an older one.
    fn about(&mut self, call: &Call<'_>) {
        if self.number != Some(call.ask.number) {
            self.number = Some(call.ask.number);
            self.said = Said::default();
        }
        let minute = call.ask.time.div_euclid(MINUTE);
        if minute != self.minute.number {
            self.minute = Minute { number: minute, ..Minute::default() };
        }
    }

    /// Begins an alert text. A script that floods is stopped.
    pub(crate) fn emit(
        &mut self,
        call: &Call<'_>,
        severity: Option<Severity>,
        message: &[u8],
    ) -> Result<(), Stop> {
        self.about(call);
        if self.said.alerts.len() >= limits::MAX_EMITS {
            let most = limits::MAX_EMITS;
            return Err(Stop::new(Cause::Flood, format!("more than {most} alerts of one event")));
        }
        if self.minute.alerts >= call.kit.budget.alerts {
            let most = call.kit.budget.alerts;
            return Err(Stop::new(Cause::Flood, format!("more than {most} alerts in a minute")));
        }
        self.minute.alerts += 1;
        let message = text::owned(message, limits::MAX_MESSAGE_BYTES);
        self.said.alerts.push(Emitted { message, severity, fields: Vec::new() });
        Ok(())
    }

    /// Adds a field to the alert text that was begun last; false if there is none.
    pub(crate) fn add(&mut self, call: &Call<'_>, name: &[u8], value: Node) -> Result<bool, Stop> {
        self.about(call);
        let Some(last) = self.said.alerts.last_mut() else { return Ok(false) };
        if last.fields.len() >= limits::MAX_EMIT_FIELDS {
            let most = limits::MAX_EMIT_FIELDS;
            return Err(Stop::new(Cause::Flood, format!("more than {most} fields of one alert")));
        }
        let value = match value {
            Node::Str(text) => {
                let cut = text::owned(&text, limits::MAX_MESSAGE_BYTES);
                Node::Str(cut.into_bytes().into())
            }
            other => other,
        };
        last.fields.push((text::owned(name, limits::MAX_KEY_BYTES), value));
        Ok(true)
    }

    /// Asks for an action; whether it may be taken. A refusal is told, a storm of them is a flood.
    pub(crate) fn request(&mut self, call: &Call<'_>, action: &[u8]) -> Result<bool, Stop> {
        self.about(call);
        if self.said.requests.len() >= limits::MAX_REQUESTS {
            let most = limits::MAX_REQUESTS;
            return Err(Stop::new(Cause::Flood, format!("more than {most} requests of one event")));
        }
        let action = text::owned(action, limits::MAX_KEY_BYTES);
        let granted = call.kit.may.permits(&action);
        if !granted {
            self.minute.refused += 1;
            if self.minute.refused > limits::MAX_REFUSED {
                let most = limits::MAX_REFUSED;
                let detail = format!("more than {most} refused requests in a minute");
                return Err(Stop::new(Cause::Flood, detail));
            }
            let detail = format!("it may not `{action}`");
            self.pending.push(Stop::new(Cause::Refused, detail));
        }
        self.said.requests.push(Request { action, granted });
        Ok(granted)
    }

    /// Remembers a value for some milliseconds.
    pub(crate) fn put(
        &mut self,
        call: &Call<'_>,
        key: &[u8],
        value: &[u8],
        ttl_ms: i64,
    ) -> Result<Put, Stop> {
        self.about(call);
        if key.len() > limits::MAX_KEY_BYTES || value.len() > limits::MAX_VALUE_BYTES {
            let detail = format!("a key of {} bytes, a value of {}", key.len(), value.len());
            return Err(Stop::new(Cause::Argument, detail));
        }
        if !(1..=limits::MAX_TTL_MS).contains(&ttl_ms) {
            return Err(Stop::new(Cause::Argument, format!("a life of {ttl_ms} ms")));
        }
        let now = call.ask.time;
        let expires = now.saturating_add(ttl_ms * MILLISECOND);
        let budget = &call.kit.budget;
        let put = self.state.put(key, value, now, expires, (budget.entries, budget.bytes));
        if put == Put::Evicted && !self.minute.evicted {
            self.minute.evicted = true;
            let detail = format!("{} entries, {} bytes", budget.entries, budget.bytes);
            self.pending.push(Stop::new(Cause::State, detail));
        }
        Ok(put)
    }
}

/// The severity of a number that a script gives: none below zero.
pub(crate) fn severity(number: i32) -> Result<Option<Severity>, Stop> {
    let Ok(index) = usize::try_from(number) else { return Ok(None) };
    let known = Severity::ALL.get(index).copied();
    known.map(Some).ok_or_else(|| Stop::new(Cause::Argument, format!("no severity {number}")))
}
