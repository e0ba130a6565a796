//! Has the static release binary linked small.
//!
//! Its panics abort, so the tables that unwinding needs (an eighth of the file) serve only the
//! backtraces of `RUST_BACKTRACE=1`, and those need symbols, which a release has not. A panic still
//! says its message and place. Addresses that are moved as the program starts are kept packed
//! (musl reads them so since 1.2.4), and functions alike to the byte are kept once.
//!
//! Another linker than the one that `.cargo/config.toml` names makes a larger binary that does the
//! same; builds for tests and development are left as they are.

use std::env;
use std::fs;
use std::io;
use std::path::Path;

/// Added to the linker's own script. `crtbeginS.o` asks for the section's start: it stays, empty.
const SCRIPT: &str = "SECTIONS { /DISCARD/ : {
    *(.eh_frame .eh_frame_hdr .gcc_except_table .gcc_except_table.*)
} } INSERT BEFORE .init;
";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=.cargo/config.toml");
    let target = env::var("TARGET").unwrap_or_default().to_uppercase().replace('-', "_");
    println!("cargo::rerun-if-env-changed=CARGO_TARGET_{target}_LINKER");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    let is_static_release = is("CARGO_CFG_TARGET_ENV", "musl") && is("PROFILE", "release");
    if !is_static_release || !is("RUSTC_LINKER", "rust-lld") {
        return Ok(());
    }
    let script = Path::new(&env::var_os("OUT_DIR").unwrap_or_default()).join("no-unwinding.ld");
    fs::write(&script, SCRIPT)?;
    println!("cargo::rustc-link-arg-bins=-T{}", script.display());
    for word in ["--no-eh-frame-hdr", "--pack-dyn-relocs=relr", "--icf=all"] {
        println!("cargo::rustc-link-arg-bins={word}");
    }
    Ok(())
}
