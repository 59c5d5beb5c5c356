//! One question and what the functions of the host serve it from, found by them without a copy.

use std::cell::RefCell;

use model::script::Ask;

use crate::cause::{Cause, Stop};
use crate::desk::Desk;
use crate::kit::Kit;

/// The question that a script is answering.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    /// What is asked.
    pub(crate) ask: &'a Ask<'a>,
    /// What the script is given.
    pub(crate) kit: &'a Kit,
    /// What it says and remembers.
    pub(crate) desk: &'a RefCell<Desk>,
}

scoped_tls_hkt::scoped_thread_local!(static NOW: for<'a> &'a Call<'a>);

/// Runs a script's code with the question at hand.
#[inline]
pub(crate) fn with<R>(call: &Call<'_>, run: impl FnOnce() -> R) -> R {
    NOW.set(call, run)
}

/// The question that is being answered. There is none while a script is loaded.
#[inline]
pub(crate) fn now<R>(serve: impl FnOnce(&Call<'_>) -> Result<R, Stop>) -> Result<R, Stop> {
    if !NOW.is_set() {
        return Err(Stop::new(Cause::Handle, "there is no event while a script is loaded"));
    }
    NOW.with(|call| serve(call))
}

/// The same with the part that changes.
pub(crate) fn desk<R>(
    serve: impl FnOnce(&Call<'_>, &mut Desk) -> Result<R, Stop>,
) -> Result<R, Stop> {
    now(|call| {
        let mut desk = call
            .desk
            .try_borrow_mut()
            .map_err(|_| Stop::new(Cause::Argument, "a function of the host within another"))?;
        serve(call, &mut desk)
    })
}
