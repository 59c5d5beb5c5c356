//! Whether this kernel has what a program attaches to, by its type information: a program whose
//! hook is missing is left out before the load, which would otherwise begin again without it.

use std::ffi::OsStr;

use libbpf_rs::btf::Btf;
use libbpf_rs::btf::types::{Func, Typedef};

/// The kernel's own type information, read once.
pub(crate) struct Hooks {
    btf: Option<Btf<'static>>,
}

impl Hooks {
    /// Reads the type information; without it nothing is known to be missing.
    pub(crate) fn read() -> Hooks {
        Hooks { btf: Btf::from_vmlinux().ok() }
    }

    /// Why a program of this section cannot be attached; none when nothing is known against it.
    pub(crate) fn missing(&self, section: &OsStr) -> Option<String> {
        let btf = self.btf.as_ref()?;
        let (class, hook) = section.to_str()?.split_once('/')?;
        let found = match class {
            "tp_btf" => btf.type_by_name::<Typedef<'_>>(&format!("btf_trace_{hook}")).is_some(),
            "lsm" | "lsm.s" => btf.type_by_name::<Func<'_>>(&format!("bpf_lsm_{hook}")).is_some(),
            "fentry" | "fexit" => btf.type_by_name::<Func<'_>>(hook).is_some(),
            _ => true,
        };
        (!found).then(|| format!("this kernel has no {hook}"))
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::Hooks;

    #[test]
    fn only_a_hook_that_the_kernel_has_not_is_missing() {
        let hooks = Hooks::read();
        assert!(hooks.btf.is_some(), "the kernel's type information can be read");
        for there in ["tp_btf/sched_process_exec", "lsm/file_open", "fentry/do_exit", "syscall"] {
            assert_eq!(hooks.missing(OsStr::new(there)), None, "{there}");
        }
        for absent in ["tp_btf/no_such_event", "lsm/no_such_hook", "fexit/no_such_function"] {
            let reason = hooks.missing(OsStr::new(absent)).unwrap();
            assert!(reason.contains("no_such"), "{absent}: {reason}");
        }
    }
}
