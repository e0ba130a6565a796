//! What stands in for the unwinder in the static release, which has nothing to unwind by.
//!
//! `build.rs` has its tables of the stack left out, so the unwinder could not take a single step.
//! std's panic hook calls it nevertheless, for backtraces, and with it a reader of debug
//! information that a release has not: 260 KB to print nothing. These take its place, and the
//! linker leaves out the rest. A panic still says its message and place before it aborts.

use std::ffi::{c_int, c_void};
use std::process;

/// `_URC_END_OF_STACK` of the Itanium C++ ABI: no more frames.
const END_OF_STACK: c_int = 5;

/// Visits no frame.
// SAFETY: std declares this name, with this signature; nothing else that we link defines it.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Backtrace(_visit: *const c_void, _argument: *mut c_void) -> c_int {
    END_OF_STACK
}

/// Names that std mentions for the case that a stack is unwound; panics abort, so it never is.
macro_rules! never_called {
    ($($name:ident)*) => {
        $(
            // SAFETY: std declares this name; nothing else that we link defines it. Whatever its
            // parameters are, it takes none of them and does not return.
            #[unsafe(no_mangle)]
            extern "C" fn $name() -> ! {
                process::abort()
            }
        )*
    };
}

never_called! {
    _Unwind_GetDataRelBase
    _Unwind_GetIPInfo
    _Unwind_GetLanguageSpecificData
    _Unwind_GetRegionStart
    _Unwind_GetTextRelBase
    _Unwind_Resume
    _Unwind_SetGR
    _Unwind_SetIP
}
