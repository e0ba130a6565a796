//! Settings from everywhere, as the binary uses them.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use support::World;
use support::reply::Reply;
use support::run::{Call, Ended};

/// Runs a call whose program of `notify` may outlive it for a moment.
fn run_and_wait(world: &mut World, script: &str, prompt: &str) -> Ended {
    let notify = json!(["sh", "-c", script, "sh"]).to_string();
    let call = world.call(&["--json", prompt]).set(&format!("notify={notify}"));
    let mut run = world.start(call);
    run.leaves_something = true;
    world.finish(run)
}

#[test]
fn a_program_is_told_of_a_completed_turn() {
    let mut world = World::new();
    world.reply(Reply::message("all done"));
    let told = world.elsewhere.join("told");
    let script = format!("printf %s \"$1\" > {0}.new; mv {0}.new {0}", told.display());
    let ended = run_and_wait(&mut world, &script, "do it");
    ended.exits(0);
    let told: Value = serde_json::from_slice(&fs::read(told).unwrap()).unwrap();
    let expected = json!({
        "type": "agent-turn-complete",
        "thread-id": ended.thread(),
        "turn-id": "1",
        "cwd": world.cwd,
        "input-messages": ["do it"],
        "last-assistant-message": "all done",
    });
    assert_eq!(told, expected);
    assert_eq!(ended.stderr, "");
}

#[test]
fn the_longest_turn_fits_into_its_argument() {
    let mut world = World::new();
    let long = "\u{1}".repeat(100_000);
    world.reply(Reply::message(&long));
    let told = world.elsewhere.join("told");
    let ended = run_and_wait(&mut world, &format!("printf %s \"$1\" > {}", told.display()), &long);
    ended.exits(0);
    let text = fs::read(told).unwrap();
    assert!((100_000..131_072).contains(&text.len()), "{}\n{}", text.len(), ended.stderr);
    let told: Value = serde_json::from_slice(&text).unwrap();
    assert!(told["input-messages"][0].as_str().unwrap().ends_with('…'));
}

#[test]
fn a_program_that_hangs_and_talks_holds_nobody_up() {
    let mut world = World::new();
    world.reply(Reply::message("done"));
    let (about, go) = (world.elsewhere.join("about"), world.elsewhere.join("go"));
    let script = format!(
        "read -r pid _ _ _ _ session _ < /proc/self/stat
         echo out; echo err >&2; read -r line && line=read
         echo \"$((pid == session)) ${{line:-nothing}}\" > {about}
         while ! [ -e {go} ]; do sleep 0.01; done",
        about = about.display(),
        go = go.display(),
    );
    let notify = json!(["sh", "-c", script]).to_string();
    fs::write(world.home.join("config.toml"), format!("notify = {notify}\n")).unwrap();
    let mut run = world.start(world.call(&["go"]));
    run.leaves_something = true;
    while !run.has_exited() || !about.exists() {
        world.step(&mut run);
    }
    fs::write(go, "").unwrap();
    let ended = run.finish();
    ended.exits(0);
    assert_eq!(fs::read_to_string(about).unwrap(), "1 nothing\n");
    assert!(!ended.stdout.contains("out") && !ended.stderr.contains("err\n"), "{ended}");
}

#[test]
fn a_program_that_is_not_there_is_a_warning() {
    let mut world = World::new();
    world.reply(Reply::message("done"));
    let call = world.call(&["--json", "go"]).set("notify=[\"/no/such/program\"]");
    let ended = world.run(call);
    ended.exits(0);
    let expected = "warning: notify: /no/such/program was not started: No such file";
    assert!(ended.stderr.contains(expected), "{ended}");
    assert!(!Path::new("/no/such/program").exists());
}

#[test]
fn a_turn_that_fails_is_not_told_of() {
    let mut world = World::new();
    world.reply(Reply::status(400, "{\"error\":{\"message\":\"no\"}}"));
    let call = world.call(&["--json", "go"]).set("notify=[\"/no/such/program\"]");
    let ended = world.run(call);
    ended.exits(1);
    assert!(!ended.stderr.contains("notify"), "{ended}");
}

/// Settings of the world's own home.
fn set(world: &World, text: &str) {
    fs::write(world.home.join("config.toml"), text).unwrap();
}

#[test]
fn wrong_types_are_refused_with_key_file_and_line() {
    let mut world = World::new();
    set(&world, "unknown = 1\n[history]\nmax_bytes = 'x'\n");
    let ended = world.exec(&["go"]);
    ended.exits(1);
    let place = format!("error: {}/config.toml line 3: history.max_bytes: ", world.home.display());
    assert!(ended.stderr.starts_with(&place), "{ended}");
    set(&world, "unknown = 1\n[shiny]\nnew = {}\ndisable_response_storage = true\n");
    world.reply(Reply::message("fine"));
    let ended = world.exec(&["--json", "go"]);
    ended.exits(0);
    assert_eq!(ended.stderr, "");
}

#[test]
fn old_and_unknown_keys_are_told_once_and_change_nothing_else() {
    let mut world = World::new();
    set(&world, "experimental_use_freeform_apply_patch = true\n");
    world.reply(Reply::message("fine"));
    let call = world.call(&["--json", "go"]).set("modle=x").set("preferred_auth_method=apikey");
    let ended = world.run(call);
    ended.exits(0);
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{ended}");
    assert!(lines[0].ends_with("is deprecated; use features.apply_patch_freeform"), "{ended}");
    let expected = "-c: ignored, as there is no such key: modle (did you mean model?), \
                    preferred_auth_method";
    assert_eq!(lines[1], expected);
    let tools = world.body()["tools"].as_array().unwrap();
    assert!(tools.iter().any(|tool| tool["type"] == "custom" && tool["name"] == "apply_patch"));
}

#[test]
fn a_project_is_heard_only_once_it_is_trusted_and_then_not_of_everything() {
    let mut world = World::new();
    let away = "model = 'theirs'\nopenai_base_url = 'http://127.0.0.1:1'\n\
                sandbox_mode = 'danger-full-access'\nnotify = ['touch', 'told']\n";
    world.file(".codex/config.toml", away);
    world.reply(Reply::message("fine"));
    let ended = world.exec(&["--json", "go"]);
    ended.exits(0);
    assert!(ended.stderr.contains("nobody said that its project is trusted"), "{ended}");
    assert_ne!(world.requests()[0].body["model"], "theirs");
    set(&world, &format!("[projects.{:?}]\ntrust_level = 'trusted'\n", world.cwd.display()));
    world.reply(Reply::shell(&["touch", "written"])).reply(Reply::message("fine"));
    let ended = world.exec(&["--json", "go"]);
    ended.exits(0);
    let refused = "not for a project to say: openai_base_url, sandbox_mode, notify";
    assert!(ended.stderr.contains(refused), "{ended}");
    assert_eq!(world.requests()[1].body["model"], "theirs");
    assert!(!world.cwd.join("written").exists() && !world.cwd.join("told").exists());
}

/// What a command sees of these variables under a policy.
fn check_environment(policy: &[&str], expected: &str) {
    let mut world = World::new();
    let script = "for name in HOME LOGNAME A_KEY A_PASSWORD PLAIN OTHER CODEX_API_KEY LD_X; do
                      eval \"test -z \\\"\\${$name+x}\\\"\" || printf '%s ' $name
                  done";
    world.reply(Reply::script(script)).reply(Reply::message("seen"));
    let mut call = world.call(&["--json", "go"]);
    for name in ["LOGNAME", "A_KEY", "A_PASSWORD", "PLAIN", "LD_X"] {
        call = call.env(name, "v");
    }
    for setting in policy {
        call = call.set(&format!("shell_environment_policy.{setting}"));
    }
    world.run(call).exits(0);
    let [output] = world.outputs().try_into().unwrap();
    let seen: Vec<&str> = output.lines().filter(|line| line.ends_with(' ')).collect();
    let seen = seen.first().map_or("", |line| line.trim_end());
    assert_eq!(seen, expected, "{policy:?}\n{output}");
}

#[test]
fn commands_see_what_the_policy_lets_through() {
    check_environment(&[], "HOME LOGNAME PLAIN");
    check_environment(&["inherit=core"], "HOME LOGNAME");
    check_environment(&["inherit=none", "set={OTHER='1'}"], "OTHER");
    let all = "HOME LOGNAME A_KEY A_PASSWORD PLAIN LD_X";
    check_environment(&["ignore_default_excludes=true"], all);
    check_environment(&["exclude=['pl*']", "set.OTHER='1'"], "HOME LOGNAME OTHER");
    check_environment(&["include_only=['P*', '[h-i]ome']"], "HOME PLAIN");
}

#[test]
fn commands_find_what_the_profile_sets_up() {
    let mut world = World::new();
    fs::write(world.root.join(".profile"), "export FROM_PROFILE='from the profile'\n").unwrap();
    let key = "shell_environment_policy.experimental_use_profile=true";
    world.reply(Reply::shell(&["printenv", "FROM_PROFILE"])).reply(Reply::message("seen"));
    let call = world.call(&["--json", "go"]).env("SHELL", "/bin/sh").set(key);
    let ended = world.run(call);
    ended.exits(0);
    assert!(world.outputs()[0].contains("from the profile"), "{ended}");
    assert_eq!(ended.items("command_execution")[0]["command"], "printenv FROM_PROFILE");
}

/// The call on a machine whose `/etc` is this directory; `None` if there is none to be had.
fn with_etc(call: Call, etc: &Path) -> Option<Call> {
    let mut tried = Command::new("unshare");
    tried.args(["-Urm", "mount", "-t", "tmpfs", "none", "/mnt"]).stderr(Stdio::null());
    if !tried.status().is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: NO NAMESPACE WITH MOUNTS OF ITS OWN CAN BE HAD HERE");
        return None;
    }
    let script = format!("mount --bind {:?} /etc\nexec \"$@\"", etc.display());
    Some(call.within(&["unshare", "-Urm"], &script))
}

#[test]
fn a_user_without_home_or_entry_works_without_a_home() {
    let mut world = World::new();
    world.reply(Reply::message("fine"));
    let call = world.call(&["--json", "go"]).without("HOME").without("WINDLASS_HOME");
    let Some(call) = with_etc(call, &world.elsewhere) else { return };
    let ended = world.run(call);
    ended.exits(0);
    assert!(ended.stderr.contains("there is no home directory"), "{ended}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended}");
}

#[test]
fn a_user_without_home_is_looked_up() {
    let mut world = World::new();
    let user = world.root.join("user");
    fs::create_dir(&user).unwrap();
    let passwd = format!("root:x:0:0:root:{}:/bin/sh\n", user.display());
    fs::write(world.elsewhere.join("passwd"), passwd).unwrap();
    world.reply(Reply::message("fine"));
    let call = world.call(&["--json", "go"]).without("HOME").without("WINDLASS_HOME");
    let Some(call) = with_etc(call, &world.elsewhere) else { return };
    let ended = world.run(call);
    ended.exits(0);
    assert_eq!(ended.stderr, "");
    assert!(user.join(".windlass/sessions").is_dir());
}

#[test]
fn a_home_that_is_none_is_said_before_anything_is_asked() {
    let mut world = World::new();
    fs::write(world.root.join(".windlass"), "").unwrap();
    let call = world.call(&["--json", "go"]).without("WINDLASS_HOME");
    let ended = world.run(call);
    ended.exits(1);
    assert!(ended.stderr.contains(".windlass is not a directory"), "{ended}");
    // A place below it may be taken as well.
    fs::write(world.home.join("sessions"), "").unwrap();
    let ended = world.exec(&["--json", "go"]);
    ended.exits(1);
    assert!(ended.stdout.contains("home/sessions"), "{ended}");
    assert!(world.requests().is_empty());
}

#[test]
fn what_is_managed_and_required_wins() {
    let mut world = World::new();
    let etc = world.elsewhere.join("codex");
    fs::create_dir(&etc).unwrap();
    fs::write(etc.join("managed_config.toml"), "model = 'managed'\n").unwrap();
    fs::write(etc.join("requirements.toml"), "allowed_sandbox_modes = ['read-only']\n").unwrap();
    let call = world.call(&["--json", "-c", "model=typed", "go"]);
    let Some(call) = with_etc(call, &world.elsewhere) else { return };
    world.reply(Reply::message("fine"));
    world.run(call).exits(0);
    assert_eq!(world.body()["model"], "managed");
    let call = world.call(&["--json", "-s", "workspace-write", "go"]);
    let Some(call) = with_etc(call, &world.elsewhere) else { return };
    let ended = world.run(call);
    ended.exits(1);
    assert!(ended.stderr.contains("not allowed on this machine"), "{ended}");
}
