//! What libbpf says while it loads: kept, instead of printed, to find out which program was
//! refused and why.

use std::sync::{Mutex, MutexGuard, PoisonError};

use libbpf_rs::{PrintLevel, set_print};

/// Messages kept from one load; a verifier's log may have thousands of lines.
const KEPT: usize = 4096;

static MESSAGES: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// One load at a time: libbpf has one print function for the whole process.
static LOADING: Mutex<()> = Mutex::new(());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn keep(_level: PrintLevel, message: String) {
    let mut messages = lock(&MESSAGES);
    if messages.len() < KEPT {
        messages.push(message);
    }
}

/// Runs `work` and returns what libbpf said meanwhile.
pub(crate) fn during<T>(work: impl FnOnce() -> T) -> (T, Vec<String>) {
    let _one = lock(&LOADING);
    lock(&MESSAGES).clear();
    let before = set_print(Some((PrintLevel::Warn, keep)));
    let result = work();
    set_print(before);
    (result, std::mem::take(&mut *lock(&MESSAGES)))
}

/// The program that the messages blame, and the reason in one line.
pub(crate) fn blamed(messages: &[String]) -> Option<(String, String)> {
    let blame = messages.iter().rev().find_map(|message| {
        let rest = message.split("prog '").nth(1)?;
        let (name, what) = rest.split_once("': ")?;
        what.contains("fail").then(|| (name.to_owned(), what.trim().to_owned()))
    });
    let (name, what) = blame?;
    let missing = messages.iter().find_map(|message| {
        let hook = message.split("kernel BTF type ID of '").nth(1)?.split('\'').next()?;
        Some(format!("this kernel has no {hook}"))
    });
    Some((name, missing.or_else(|| verdict(messages)).unwrap_or(what)))
}

/// The verifier's own last line before its statistics, where it said something.
fn verdict(messages: &[String]) -> Option<String> {
    let log = messages.iter().rev().find(|message| message.contains("BEGIN PROG LOAD LOG"))?;
    let lines =
        log.lines().filter(|line| !line.starts_with("processed ") && !line.starts_with("--"));
    lines.map(str::trim).rfind(|line| !line.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::blamed;

    #[test]
    fn the_verifiers_last_line_is_the_reason() {
        let messages = [
            "libbpf: prog 'tp_exec': BPF program load failed: Permission denied\n".to_owned(),
            "libbpf: prog 'tp_exec': -- BEGIN PROG LOAD LOG --\n0: R1=ctx()\nunknown func bpf_loop#181\nprocessed 1 insns\n-- END PROG LOAD LOG --\n".to_owned(),
            "libbpf: prog 'tp_exec': failed to load: -13\n".to_owned(),
            "libbpf: failed to load object 'sensors'\n".to_owned(),
        ];
        let (program, reason) = blamed(&messages).unwrap();
        assert_eq!((program.as_str(), reason.as_str()), ("tp_exec", "unknown func bpf_loop#181"));
    }

    #[test]
    fn without_a_log_the_loaders_words_are_the_reason() {
        let messages = [
            "libbpf: prog 'lsm_userns': failed to find kernel BTF type ID of 'bpf_lsm_userns_create': -3\n".to_owned(),
        ];
        let (program, reason) = blamed(&messages).unwrap();
        assert_eq!(program, "lsm_userns");
        assert!(reason.contains("bpf_lsm_userns_create"), "{reason}");
    }
}
