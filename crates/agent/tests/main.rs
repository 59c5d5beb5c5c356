//! The agent as a whole: started, provoked, killed, asked. Tests that load sensors need root, and
//! print `SKIP` and why when they are run without.

#[cfg(test)]
mod answers;
#[cfg(test)]
mod armed;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod config;
#[cfg(test)]
mod confined;
#[cfg(test)]
mod containers;
#[cfg(test)]
mod deeds;
#[cfg(test)]
mod domains;
#[cfg(test)]
mod evidence;
#[cfg(test)]
mod fallback;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod forms;
#[cfg(test)]
mod generations;
#[cfg(test)]
mod health;
#[cfg(test)]
mod incidents;
#[cfg(test)]
mod isolate;
#[cfg(test)]
mod json;
#[cfg(test)]
mod kafka;
#[cfg(test)]
mod kills;
#[cfg(test)]
mod lab;
#[cfg(test)]
mod language;
#[cfg(test)]
mod late;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod namespaces;
#[cfg(test)]
mod notify;
#[cfg(test)]
mod outlives;
#[cfg(test)]
mod outputs;
#[cfg(test)]
mod packs;
#[cfg(test)]
mod policies;
#[cfg(test)]
mod prevention;
#[cfg(test)]
mod privileges;
#[cfg(test)]
mod quarantine;
#[cfg(test)]
mod receivers;
#[cfg(test)]
mod recorded;
#[cfg(test)]
mod recording;
#[cfg(test)]
mod redaction;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod responses;
#[cfg(test)]
mod restarts;
#[cfg(test)]
mod running;
#[cfg(test)]
mod sandbox;
#[cfg(test)]
mod scripts;
#[cfg(test)]
mod sequences;
#[cfg(test)]
mod strict;
#[cfg(test)]
mod top;
