//! Says whether a path has a directory that begins with a dot.
#![no_std]

mod kestrel;

/// Patterns are known by their position in the rule file.
const DIRECTORY: i32 = 0;

#[no_mangle]
pub extern "C" fn is_hidden(path: i32) -> i32 {
    unsafe { kestrel::glob(DIRECTORY, path) }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
