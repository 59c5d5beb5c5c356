//! Events as the agent prints them, and the stream they arrive in.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Events kept; older ones are forgotten. Far more than one case makes on a busy host.
const KEPT: usize = 50_000;

/// One event: nested JSON with ECS names.
#[derive(Debug, Clone)]
pub(crate) struct Event(pub(crate) Value);

impl Event {
    /// The value of a dotted field.
    pub(crate) fn get(&self, field: &str) -> Option<&Value> {
        field.split('.').try_fold(&self.0, |value, part| value.get(part))
    }

    /// The value as text: numbers and numeric ids in decimal.
    pub(crate) fn text(&self, field: &str) -> Option<String> {
        self.get(field).map(text)
    }

    /// The values of a list, or the one value, as text.
    pub(crate) fn list(&self, field: &str) -> Vec<String> {
        match self.get(field) {
            None => Vec::new(),
            Some(Value::Array(values)) => values.iter().map(text).collect(),
            Some(value) => vec![text(value)],
        }
    }
}

/// A JSON value without its quotes.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// All that a child process printed, line by line, parsed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stream {
    inner: Arc<(Mutex<VecDeque<Event>>, Condvar)>,
    lost: Arc<AtomicU64>,
}

impl Stream {
    /// Reads lines in a thread until the end.
    pub(crate) fn read(source: impl Read + Send + 'static) -> Stream {
        let stream = Stream::default();
        let writer = stream.clone();
        std::thread::spawn(move || {
            let lines = BufReader::new(source).lines().map_while(Result::ok);
            for line in lines {
                match serde_json::from_str::<Value>(&line) {
                    Ok(value) => match value.get("lost").and_then(Value::as_u64) {
                        Some(lost) => _ = writer.lost.fetch_add(lost, Ordering::Relaxed),
                        None => writer.add(Event(value)),
                    },
                    Err(error) => eprintln!("provoke: not JSON ({error}): {line}"),
                }
            }
        });
        stream
    }

    /// Events that the writer says it dropped because this program read too slowly.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn add(&self, event: Event) {
        let mut events = self.lock();
        if events.len() == KEPT {
            events.pop_front();
        }
        events.push_back(event);
        self.inner.1.notify_all();
    }

    /// The events for which `wanted` holds, up to now.
    pub(crate) fn all(&self, wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
        self.lock().iter().filter(|event| wanted(event)).cloned().collect()
    }

    /// Waits until an event is there for which `wanted` holds.
    pub(crate) fn wait(&self, timeout: Duration, wanted: impl Fn(&Event) -> bool) -> Option<Event> {
        let deadline = Instant::now() + timeout;
        let mut events = self.lock();
        // Each event is looked at once, however often we are woken.
        let mut seen = 0;
        loop {
            if let Some(event) = events.iter().skip(seen).find(|event| wanted(event)) {
                return Some(event.clone());
            }
            seen = if events.len() == KEPT { 0 } else { events.len() };
            let left = deadline.checked_duration_since(Instant::now())?;
            let (guard, _) =
                self.inner.1.wait_timeout(events, left).unwrap_or_else(PoisonError::into_inner);
            events = guard;
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Event>> {
        self.inner.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_counted_and_are_no_events() {
        let text =
            "{\"event\":{\"action\":\"exec\"}}\n{\"lost\":3}\n{\"event\":{\"action\":\"end\"}}\n";
        let stream = Stream::read(text.as_bytes());
        let end = |event: &Event| event.text("event.action").as_deref() == Some("end");
        assert!(stream.wait(Duration::from_secs(10), end).is_some());
        assert_eq!((stream.lost(), stream.all(|_| true).len()), (3, 2));
    }
}
