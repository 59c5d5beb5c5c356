//! All scripts of a program: loaded, asked, and put in quarantine.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use model::capability::Capabilities;
use model::program::Program;
use model::script::{Ask, Incident, Said, Script, Scripts, Standing};

use crate::Backend;
use crate::call::{self, Call};
use crate::cause::{Cause, Stop};
use crate::desk::Desk;
use crate::kit::Kit;
use crate::limits;
use crate::load;
use crate::luau::Vm;
use crate::refuse::Refused;
use crate::ticker::Ticker;
use crate::wasm::Instance;

/// The runtime of all scripts of a program.
pub struct Runtime {
    slots: Vec<Slot>,
    incidents: Vec<Incident>,
    ticker: Option<Ticker>,
    backend: Backend,
}

/// What runs a script.
pub(crate) enum Code {
    Wasm(Instance),
    Luau(Vm),
    /// It was refused when it was loaded.
    None,
}

/// One script.
pub(crate) struct Slot {
    script: Script,
    kit: Kit,
    desk: RefCell<Desk>,
    code: Code,
    /// Whether it is asked at all.
    awake: bool,
    calls: u64,
    work: u64,
    violations: u32,
    quarantined: Option<String>,
}

impl Slot {
    pub(crate) fn new(script: &Script, kit: Kit, code: Code) -> Slot {
        let awake = !matches!(code, Code::None);
        let mut script = script.clone();
        if !awake {
            // Nobody asks it again: its code need not stay.
            script.code = Arc::from([]);
        }
        Slot {
            script,
            kit,
            desk: RefCell::default(),
            code,
            awake,
            calls: 0,
            work: 0,
            violations: 0,
            quarantined: None,
        }
    }

    /// Whether it is the same script on the same terms.
    fn same(&self, other: &Slot) -> bool {
        let (one, two) = (&self.script, &other.script);
        let terms = |script: &Script| (script.kind, script.asks, script.may, script.budget);
        one.name == two.name
            && one.code == two.code
            && one.fields == two.fields
            && one.regexes == two.regexes
            && one.globs == two.globs
            && terms(one) == terms(two)
    }

    fn renew(&mut self) -> bool {
        match &mut self.code {
            Code::Wasm(instance) => instance.renew(),
            Code::Luau(vm) => vm.renew(&self.kit),
            Code::None => false,
        }
    }
}

impl Runtime {
    /// Loads all scripts of a program, several at a time. What is refused answers no.
    pub fn load(program: &Program, backend: Backend) -> (Runtime, Vec<Refused>) {
        let load::Loaded { slots, refused, ticker } = load::all(program, backend);
        (Runtime { slots, incidents: Vec::new(), ticker, backend }, refused)
    }

    /// What runs Wasm modules.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// What a script may do, as it was granted.
    pub fn may(&self, script: u32) -> Capabilities {
        self.slots.get(script as usize).map_or(Capabilities::NONE, |slot| slot.kit.may)
    }

    /// What broke the terms of a script, or was refused to it.
    #[cold]
    fn tell(&mut self, ask: &Ask<'_>, stop: &Stop, ended: bool) {
        let Some(slot) = self.slots.get_mut(ask.script as usize) else { return };
        let counts = stop.cause.counts();
        slot.violations += u32::from(counts);
        let detail = crate::text::shown(&stop.detail);
        let quarantined = counts && slot.violations >= slot.kit.budget.violations.max(1);
        if quarantined {
            slot.awake = false;
            slot.quarantined = Some(format!("{}: {detail}", stop.cause.as_str()));
        } else if ended && !slot.renew() {
            // It began once, so this is the system's doing; what is left of it cannot be trusted.
            slot.awake = false;
            slot.quarantined = Some(format!("{}: it does not start again", Cause::Trap.as_str()));
        }
        if self.incidents.len() < limits::MAX_INCIDENTS {
            self.incidents.push(Incident {
                script: ask.script,
                number: ask.number,
                time: ask.time,
                cause: stop.cause.as_str(),
                detail,
                quarantined: slot.quarantined.is_some(),
            });
        }
    }

    /// What happened beside an answer.
    #[cold]
    fn after(&mut self, ask: &Ask<'_>, ended: Option<Stop>) {
        let Some(slot) = self.slots.get_mut(ask.script as usize) else { return };
        let pending = std::mem::take(&mut slot.desk.get_mut().pending);
        for stop in &pending {
            self.tell(ask, stop, false);
        }
        if let Some(stop) = ended {
            self.tell(ask, &stop, true);
        }
    }
}

impl Scripts for Runtime {
    fn holds(&mut self, ask: &Ask<'_>) -> bool {
        let Some(slot) = self.slots.get_mut(ask.script as usize) else { return false };
        if !slot.awake {
            return false;
        }
        if let Some(ticker) = &mut self.ticker {
            ticker.call();
        }
        slot.calls += 1;
        let call = Call { ask, kit: &slot.kit, desk: &slot.desk };
        let code = &mut slot.code;
        let (answer, work) = call::with(&call, || match code {
            Code::Wasm(instance) => instance.ask(ask.function, ask.args.len()),
            Code::Luau(vm) => vm.ask(ask.function, &call),
            Code::None => (Ok(false), 0),
        });
        slot.work += work;
        match answer {
            Ok(answer) => {
                if !slot.desk.get_mut().pending.is_empty() {
                    self.after(ask, None);
                }
                answer
            }
            Err(stop) => {
                self.after(ask, Some(stop));
                false
            }
        }
    }

    fn said(&mut self, script: u32) -> Option<Said> {
        self.slots.get_mut(script as usize)?.desk.get_mut().take()
    }

    fn incidents(&mut self) -> Vec<Incident> {
        std::mem::take(&mut self.incidents)
    }

    fn standing(&self, script: u32) -> Standing {
        let Some(slot) = self.slots.get(script as usize) else { return Standing::default() };
        let desk = slot.desk.borrow();
        Standing {
            calls: slot.calls,
            work: slot.work,
            violations: slot.violations,
            quarantined: slot.quarantined.clone(),
            entries: desk.state.entries(),
            bytes: desk.state.bytes(),
        }
    }

    fn release(&mut self, script: u32) -> bool {
        let Some(slot) = self.slots.get_mut(script as usize) else { return false };
        if slot.quarantined.is_none() || !slot.renew() {
            return false;
        }
        slot.quarantined = None;
        slot.violations = 0;
        slot.awake = true;
        true
    }

    fn inherit(&mut self, old: Box<dyn Scripts>) {
        let Ok(old) = old.into_any().downcast::<Runtime>() else { return };
        let mut old = *old;
        for slot in &mut self.slots {
            let Some(before) = old.slots.iter_mut().find(|before| before.same(slot)) else {
                continue;
            };
            // What it said belongs to events of before; what it remembers stays, and so does its standing:
            // a reload is no way out of quarantine.
            slot.desk.get_mut().state = std::mem::take(&mut before.desk.get_mut().state);
            slot.calls = before.calls;
            slot.work = before.work;
            slot.violations = before.violations;
            slot.quarantined = before.quarantined.take();
            slot.awake = slot.awake && slot.quarantined.is_none();
        }
        old.incidents.append(&mut self.incidents);
        old.incidents.truncate(limits::MAX_INCIDENTS);
        // Numbers of scripts may differ from here on, so those that were not taken are given up unless
        // they are about scripts that kept theirs.
        let kept = |incident: &Incident| {
            let index = incident.script as usize;
            matches!((self.slots.get(index), old.slots.get(index)),
                (Some(new), Some(before)) if new.script.name == before.script.name)
        };
        self.incidents = old.incidents.iter().filter(|incident| kept(incident)).cloned().collect();
    }

    fn into_any(self: Box<Self>) -> Box<dyn std::any::Any> {
        self
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.slots.iter().map(|slot| slot.script.name.as_str()).collect();
        out.debug_struct("Runtime")
            .field("backend", &self.backend)
            .field("scripts", &names)
            .finish_non_exhaustive()
    }
}
