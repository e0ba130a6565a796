//! Arguments to a front, a front to the host, the host to an exit code.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use windlass::config::args::{self, UsageError, Verb};
use windlass::config::{completions, help, limits};
use windlass::host::net::RESOLVER_NAME;
use windlass::host::proc::launch::FILES_NAME;
use windlass::host::{
    app_server, confined, demo, doctor, environment, exec, features, files, journal, net, out,
};
use windlass::host::{schemas, sessions, stdin};
use windlass::tools::patch;

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let called = words.next().unwrap_or_default();
    // Children of our own come first: they need nothing of what follows.
    if windlass_sandbox::is_launcher(&called) {
        windlass_sandbox::launcher_main()
    }
    let name = Path::new(&called).file_name().and_then(|name| name.to_str()).unwrap_or("");
    match name {
        RESOLVER_NAME => net::resolver_main(),
        FILES_NAME => return ExitCode::from(files::files_main()),
        name if patch::NAMES.contains(&name) => {
            let words: Vec<String> =
                words.map(|word| word.to_string_lossy().into_owned()).collect();
            return ExitCode::from(files::patch_door_main(&words));
        }
        _ => {}
    }
    environment::open_standard_descriptors();
    let code = agent(words.collect());
    if code != 0 {
        stdin::hear_out();
    }
    ExitCode::from(code)
}

fn agent(words: Vec<OsString>) -> u8 {
    let invocation = match args::parse(words) {
        Ok(invocation) => invocation,
        Err(error) => {
            exec::say(&error.to_string());
            return UsageError::EXIT_CODE;
        }
    };
    match &invocation.verb {
        Verb::Help(command) => out::print(&help::text(command)),
        Verb::Completions(shell) => out::print(&completions::script(*shell)),
        Verb::Sandbox => confined::run(&invocation, environment::own_executable()),
        Verb::Doctor => doctor::print(&invocation),
        Verb::Features => features::list(&invocation),
        Verb::Limits => out::print(&limits::list()),
        Verb::AppServer => app_server::serving::serve(&invocation, environment::own_executable()),
        Verb::Schema(language, directory) => schemas::write(*language, directory),
        Verb::Replay(path) => journal::replay(Path::new(&**path)),
        Verb::Version => out::print(concat!("windlass ", env!("CARGO_PKG_VERSION"), "\n")),
        Verb::Sessions(sessions) => sessions::run(&invocation, sessions),
        Verb::Demo => demo::demo(&invocation, environment::own_executable()),
        Verb::Exec | Verb::Resume(_) | Verb::Fork(_) | Verb::Review(_) => {
            exec::exec(&invocation, environment::own_executable())
        }
    }
}
