use super::*;
use crate::config::args;
use crate::config::layers::Named;
use crate::limits::{MODEL_NAME_BYTES_MAX, OUTPUT_SCHEMA_BYTES_MAX};
use crate::words::command::Which;
use crate::words::ids::ConversationId;
use crate::words::policy::SandboxPolicy;
use crate::words::settings::{ShellForm, Verbosity, WebReach};

/// Resolves a command line against a configuration and an environment.
fn attempt(line: &[&str], config: &str, env: &[(&str, &str)]) -> Result<Resolved, ConfigError> {
    let words = line.iter().map(Into::into).collect();
    let invocation = args::parse(words).unwrap_or_else(|error| panic!("{line:?}: {error}"));
    let config = Named { name: "config.toml", text: config };
    let mut layers = Layers::new(&invocation, Some(config))?;
    if let Some(profile) = layers.wanted_profile(&invocation) {
        layers.choose_profile(&profile, None)?;
    }
    let env = |name: &str| {
        env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    };
    let lent = Lent {
        env: &env,
        cwd: "/work",
        project_notes: None,
        is_trusted: false,
        instructions: None,
        compact_prompt: None,
        output_schema: None,
    };
    resolve(&invocation, &layers, lent)
}

fn resolved(line: &[&str], config: &str) -> Resolved {
    let env = [("HOME", "/home/u"), ("SHELL", "/bin/zsh")];
    attempt(line, config, &env).unwrap_or_else(|error| panic!("{line:?} {config:?}: {error}"))
}

fn refused(line: &[&str], config: &str) -> String {
    attempt(line, config, &[]).expect_err("refused").to_string()
}

/// Resolves with texts lent by the host.
fn with_texts(
    config: &str,
    instructions: Option<&str>,
    output_schema: Option<&str>,
) -> Result<ThreadSettings, ConfigError> {
    let invocation = Invocation { output_schema: Some("s.json".into()), ..Invocation::default() };
    let config = Named { name: "config.toml", text: config };
    let layers = Layers::new(&invocation, Some(config))?;
    let project_notes = Some("notes");
    let lent = Lent {
        env: &|_| None,
        cwd: "/work",
        project_notes,
        is_trusted: false,
        instructions,
        compact_prompt: None,
        output_schema,
    };
    resolve(&invocation, &layers, lent).map(|resolved| resolved.settings)
}

#[test]
fn nothing_said_gives_the_defaults() {
    let resolved = resolved(&["exec", "do it"], "");
    let settings = &resolved.settings;
    assert_eq!(&*settings.model, models::DEFAULT_MODEL);
    assert_eq!(&*settings.provider, "openai");
    assert_eq!(settings.approval, ApprovalPolicy::Never);
    assert_eq!(settings.sandbox, SandboxPolicy::of(SandboxMode::ReadOnly));
    assert_eq!(&*settings.shell, "/bin/zsh");
    assert_eq!(settings.reasoning.summary.as_deref(), Some("auto"));
    assert_eq!(settings.context_window, Some(272_000));
    assert_eq!((settings.request_retries_max, settings.stream_retries_max), (4, 5));
    assert_eq!((settings.source, &*settings.originator), ("exec", "codex_exec"));
    assert_eq!(settings.instructions, instructions::base(PatchForm::Freeform));
    assert_eq!(resolved.options.prompt.as_deref(), Some("do it"));
    assert!(resolved.notices.is_empty());
}

#[test]
fn flags_beat_overrides_and_overrides_beat_profiles() {
    let config = "model = 'o3'\n[profiles.fast]\nmodel_reasoning_effort = 'low'\nmodel = 'p'\n";
    let line = ["exec", "-p", "fast", "-c", "model_reasoning_effort=high", "x"];
    let settings = resolved(&line, config).settings;
    assert_eq!(settings.reasoning.effort.as_deref(), Some("high"));
    assert_eq!(&*settings.model, "p");
    let line = ["exec", "-m", "gpt-5", "-c", "model=x", "-p", "fast", "x"];
    assert_eq!(&*resolved(&line, config).settings.model, "gpt-5");
}

#[test]
fn commands_are_assessed_for_those_who_ask() {
    assert!(!resolved(&["exec", "x"], "").settings.assess_commands);
    for config in [
        "features.experimental_sandbox_command_assessment = true",
        "experimental_sandbox_command_assessment = true",
    ] {
        assert!(resolved(&["exec", "x"], config).settings.assess_commands, "{config}");
    }
}

#[test]
fn exec_never_asks_whatever_is_configured() {
    let config = "approval_policy = 'on-request'\n[profiles.p]\napproval_policy = 'untrusted'\n";
    let line = ["exec", "-p", "p", "-c", "approval_policy=on-failure", "x"];
    assert_eq!(resolved(&line, config).settings.approval, ApprovalPolicy::Never);
}

#[test]
fn the_sandbox_is_the_flags_or_the_configured_one() {
    let config = "
        sandbox_mode = 'workspace-write'
        [sandbox_workspace_write]
        writable_roots = ['/a', '~/b']
        network_access = true
        exclude_slash_tmp = true
    ";
    let policy = resolved(&["exec", "--add-dir", "c", "--add-dir", "/d", "x"], config);
    let policy = policy.settings.sandbox;
    assert_eq!(policy.mode, SandboxMode::WorkspaceWrite);
    let roots: Vec<&str> = policy.writable_roots.iter().map(|root| &**root).collect();
    assert_eq!(roots, ["/a", "/home/u/b", "/work/c", "/d"]);
    assert!(policy.network && policy.exclude_slash_tmp && !policy.exclude_tmpdir_env_var);
    let policy = resolved(&["exec", "-s", "read-only", "x"], config).settings.sandbox;
    assert_eq!((policy.mode, policy.network), (SandboxMode::ReadOnly, false));
    let mode = |flag| resolved(&["exec", flag, "x"], "").settings.sandbox.mode;
    assert_eq!(mode("--full-auto"), SandboxMode::WorkspaceWrite);
    assert_eq!(mode("--yolo"), SandboxMode::DangerFullAccess);
    let config = "[sandbox_workspace_write]\nwritable_roots = ['a']\n";
    let message = "config.toml line 2: sandbox_workspace_write.writable_roots: \"a\" is not";
    assert!(refused(&["exec", "x"], config).starts_with(message));
}

#[test]
fn a_local_provider_brings_its_own_model() {
    let config = "model = 'gpt-5'\n";
    let provider_and_model = |line: &[&str], config: &str| {
        let settings = resolved(line, config).settings;
        (settings.provider.to_string(), settings.model.to_string())
    };
    let pair = |provider: &str, model: &str| (provider.to_owned(), model.to_owned());
    let cases: &[(&[&str], &str, (String, String))] = &[
        (&["exec", "--oss", "x"], config, pair("ollama", "gpt-oss:20b")),
        (&["exec", "--oss", "-m", "qwen", "x"], config, pair("ollama", "qwen")),
        (&["exec", "--oss", "-c", "model=qwen", "x"], config, pair("ollama", "qwen")),
        (
            &["exec", "--oss", "x"],
            "oss_provider = 'lmstudio'",
            pair("lmstudio", "openai/gpt-oss-20b"),
        ),
        (
            &["exec", "--oss", "--local-provider", "lmstudio", "-m", "q", "x"],
            config,
            pair("lmstudio", "q"),
        ),
        (&["exec", "x"], "model_provider = 'ollama'", pair("ollama", "gpt-oss:20b")),
    ];
    for (line, config, expected) in cases {
        assert_eq!(&provider_and_model(line, config), expected, "{line:?}");
    }
}

#[test]
fn the_demo_answers_from_the_binary() {
    let resolved = resolved(&["demo"], "model = 'x'\nmodel_provider = 'nowhere'");
    assert_eq!(resolved.provider, Provider::demo());
    assert_eq!(&*resolved.settings.model, models::RECORDED_MODEL);
}

#[test]
fn models_that_nobody_knows_are_served_plainly() {
    let settings = resolved(&["exec", "-m", "made-up", "x"], "").settings;
    assert_eq!(settings.context_window, None);
    assert_eq!(settings.tools.patch, PatchForm::Function);
    assert!(!settings.reasoning.supported && !settings.parallel_tool_calls);
    let config = "model_supports_reasoning_summaries = true\nmodel_context_window = 5\n";
    let settings = resolved(&["exec", "-m", "made-up", "x"], config).settings;
    assert!(settings.reasoning.supported);
    assert_eq!(settings.context_window, Some(5));
    assert!(refused(&["exec", "-m", "a\u{7}b", "x"], "").contains("control"));
    let long = "m".repeat(MODEL_NAME_BYTES_MAX + 1);
    assert!(refused(&["exec", "-m", &long, "x"], "").contains("longer"));
}

#[test]
fn a_conversation_is_summed_up_at_nine_tenths_of_the_window_or_where_somebody_says() {
    let limit = |model: &str, config: &str| {
        resolved(&["exec", "-m", model, "x"], config).settings.compact_at_tokens
    };
    assert_eq!(limit("gpt-5", ""), Some(244_800));
    assert_eq!(limit("made-up", ""), None);
    assert_eq!(limit("made-up", "model_context_window = 1"), Some(0));
    assert_eq!(limit("made-up", "model_context_window = 8193"), Some(7373));
    assert_eq!(limit("gpt-5", "model_auto_compact_token_limit = 9"), Some(9));
    assert_eq!(limit("gpt-5", "model_auto_compact_token_limit = 0"), Some(244_800));
}

#[test]
fn a_summary_is_asked_for_in_our_words_or_the_users() {
    let prompt = |config: &str| resolved(&["exec", "x"], config).settings.compact_prompt;
    assert_eq!(prompt(""), instructions::COMPACT);
    assert_eq!(prompt("compact_prompt = 'briefly'"), "briefly");
    let message = refused(&["exec", "x"], "compact_prompt = ' '");
    assert_eq!(message, "config.toml line 1: compact_prompt: it is empty");
    let file = |config: &str| {
        let config = Named { name: "config.toml", text: config };
        let layers = Layers::new(&Invocation::default(), Some(config)).expect("sound");
        wanted(&layers).compact_prompt_file
    };
    let named = "experimental_compact_prompt_file = 'c.md'";
    assert_eq!(file(named), Some("c.md".into()));
    assert_eq!(file(&format!("compact_prompt = 'briefly'\n{named}")), None, "it is not needed");
}

#[test]
fn features_choose_the_form_of_tools() {
    let tools = |line: &[&str], config: &str| resolved(line, config).settings.tools;
    let line = ["exec", "-m", "o3", "x"];
    assert_eq!(tools(&line, "").patch, PatchForm::Function);
    assert_eq!(tools(&line, "features.apply_patch_freeform = true").patch, PatchForm::Freeform);
    assert_eq!(tools(&line, "include_apply_patch_tool = false").patch, PatchForm::ThroughShell);
    assert_eq!(tools(&line, "features.shell_command_tool = true").shell, ShellForm::Line);
    let sessions = "features.unified_exec = true\nfeatures.shell_command_tool = true\n";
    assert_eq!(tools(&line, sessions).shell, ShellForm::Sessions);
    assert_eq!(
        tools(&line, "experimental_use_unified_exec_tool = true").shell,
        ShellForm::Sessions
    );
    let chat = "model_provider = 'c'\nmodel_providers.c.base_url = 'http://localhost/v1'\n\
                model_providers.c.wire_api = 'chat'\n";
    assert_eq!(tools(&line, &format!("{chat}{sessions}")).shell, ShellForm::Line);
    assert!(tools(&["exec", "--enable", "file_tools", "x"], "").files);
    assert!(tools(&["exec", "-m", "gpt-5.1-codex", "x"], "").images);
    assert!(!tools(&["exec", "-m", "gpt-5.1-codex", "x"], "tools.view_image = false").images);
    assert!(!tools(&["exec", "-m", "some-model", "x"], "").images);
    assert!(tools(&["exec", "-m", "some-model", "--enable", "view_image_tool", "x"], "").images);
    assert!(refused(&["exec", "--enable", "wings", "x"], "").contains("unknown feature"));
}

#[test]
fn the_web_is_searched_only_by_those_who_ask() {
    let web = |config: &str| resolved(&["exec", "x"], config).settings.tools.web;
    assert_eq!(web(""), None);
    for (value, expected) in [
        ("disabled", None),
        ("cached", Some(WebReach::Cached)),
        ("indexed", Some(WebReach::Indexed)),
        ("live", Some(WebReach::Live)),
    ] {
        // It has the last word over older names.
        let config = format!("web_search = '{value}'\nfeatures.web_search_request = true\n");
        assert_eq!(web(&config), expected, "{value}");
    }
    assert_eq!(web("tools.web_search = true"), Some(WebReach::Usual));
    assert_eq!(web("features.web_search_request = true"), Some(WebReach::Usual));
    let chat = "web_search = 'live'\nmodel_provider = 'c'\n\
                model_providers.c.base_url = 'http://localhost/v1'\n\
                model_providers.c.wire_api = 'chat'\n";
    assert_eq!(web(chat), None);
    assert!(refused(&["exec", "x"], "web_search = 'always'").contains("web_search"));
}

#[test]
fn verbosity_goes_only_to_models_that_take_it() {
    let config = "model_verbosity = 'high'";
    let verbosity = |model: &str| {
        let resolved = resolved(&["exec", "-m", model, "x"], config);
        (resolved.settings.verbosity, resolved.notices.len())
    };
    assert_eq!(verbosity("gpt-5"), (Some(Verbosity::High), 0));
    assert_eq!(verbosity("gpt-5-codex"), (None, 1));
    let settings = resolved(&["exec", "-m", "gpt-5.1", "x"], "").settings;
    assert_eq!(settings.verbosity, Some(Verbosity::Low));
    assert_eq!(settings.reasoning.effort.as_deref(), Some("medium"));
}

#[test]
fn texts_of_the_host_find_their_places() {
    let key = "model_instructions_file = 'f'";
    let settings = with_texts(key, Some("be kind"), Some(" {\"type\": \"object\"} ")).expect("ok");
    assert_eq!(settings.instructions, "be kind");
    assert_eq!(settings.output_schema.as_deref(), Some("{\"type\": \"object\"}"));
    assert_eq!(settings.project_notes.as_deref(), Some("notes"));
}

#[test]
fn texts_that_cannot_be_used_are_refused() {
    let schema_max = format!("\"{}\"", "x".repeat(OUTPUT_SCHEMA_BYTES_MAX));
    let instructions_max = "x".repeat(INSTRUCTIONS_BYTES_MAX + 1);
    let key = "experimental_instructions_file = 'f'";
    let cases = [
        (
            Some(" \n"),
            None,
            "config.toml line 1: experimental_instructions_file: the file is empty",
        ),
        (Some(&*instructions_max), None, "larger than"),
        (None, Some("{"), "--output-schema s.json: not JSON"),
        (None, Some("{} {}"), "--output-schema s.json: not JSON"),
        (None, Some(&*schema_max), "--output-schema s.json: larger than"),
    ];
    for (instructions, schema, part) in cases {
        let message = with_texts(key, instructions, schema).expect_err(part).to_string();
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn the_originator_is_a_token_or_ours() {
    let originator = |value: &str| {
        let env = [("CODEX_INTERNAL_ORIGINATOR_OVERRIDE", value)];
        attempt(&["exec", "x"], "", &env).expect("resolved").settings.originator.to_string()
    };
    assert_eq!(originator("codex_sdk_ts"), "codex_sdk_ts");
    assert_eq!(originator("a\r\nb: c"), ORIGINATOR);
    assert_eq!(originator(&"x".repeat(ORIGINATOR_BYTES_MAX + 1)), ORIGINATOR);
}

#[test]
fn a_session_is_an_id_a_path_or_the_last() {
    let which = |line: &[&str]| resolved(line, "").options.past.map(|(which, _)| which);
    let id = "01990000-0000-7000-8000-0000000000aa";
    let parsed: ConversationId = id.parse().expect("a UUID");
    assert_eq!(which(&["exec", "resume", id]), Some(Which::Id(parsed)));
    assert_eq!(which(&["exec", "resume", "r.jsonl"]), Some(Which::Path("/work/r.jsonl".into())));
    let last = |cwd: Option<&str>| Some(Which::Last { cwd: cwd.map(Box::from) });
    assert_eq!(which(&["exec", "resume", "--last"]), last(Some("/work")));
    assert_eq!(which(&["exec", "resume", "--last", "--all"]), last(None));
    assert_eq!(which(&["exec", "x"]), None);
    assert!(refused(&["exec", "resume", "mine"], "").contains("no session \"mine\""));
}

#[test]
fn what_is_ignored_is_said_in_one_line() {
    let line = ["exec", "--thread-source", "s", "--ignore-rules", "--ignore-rules", "x"];
    let notices = resolved(&line, "").notices;
    assert_eq!(notices.len(), 1);
    assert!(notices[0].ends_with("--thread-source, --ignore-rules"));
    let config = "[model_providers.ollama]\nname = 'x'\n";
    assert!(resolved(&["exec", "x"], config).notices[0].contains("built in"));
}

#[test]
fn the_environment_of_commands_is_read() {
    let config = "
        [shell_environment_policy]
        inherit = 'core'
        ignore_default_excludes = true
        exclude = ['A*']
        include_only = ['PATH']
        set = { B = '1' }
        experimental_use_profile = true
    ";
    let expected = ShellEnvironment {
        inherit: Inherit::Core,
        ignore_default_excludes: true,
        exclude: vec!["A*".into()],
        set: vec![("B".into(), "1".into())],
        include_only: vec!["PATH".into()],
        use_profile: true,
    };
    assert_eq!(resolved(&["exec", "x"], config).shell_environment, expected);
}

#[test]
fn what_is_wanted_of_the_host_is_bounded() {
    let config = "project_doc_max_bytes = 99999999999\nmodel_instructions_file = 'i.md'\n";
    let config = Named { name: "c", text: config };
    let layers = Layers::new(&Invocation::default(), Some(config)).expect("sound");
    let wanted = wanted(&layers);
    assert_eq!(wanted.notes_bytes_max, PROJECT_NOTES_BYTES_MAX);
    assert_eq!(wanted.instructions_file, Some("i.md".into()));
}

#[test]
fn chat_completions_are_offered_functions_and_sent_what_was_asked_for_alone() {
    let config = |more: &str| {
        format!(
            "model_provider = 'c'\n{more}\n[model_providers.c]\nwire_api = 'chat'\n\
             base_url = 'http://c/v1'"
        )
    };
    let settings =
        |model: &str, more: &str| resolved(&["exec", "-m", model, "hi"], &config(more)).settings;
    for model in ["gpt-5.1", "gpt-5.1-codex", "codex-mini-latest", "mistral"] {
        let settings = settings(model, "");
        assert_eq!(settings.tools.shell, ShellForm::Argv, "{model}");
        assert_eq!(settings.tools.patch, PatchForm::Function, "{model}");
        assert_eq!((settings.reasoning.effort, settings.verbosity), (None, None), "{model}");
    }
    let asked = settings("gpt-5.1", "model_reasoning_effort = 'high'");
    assert_eq!(asked.reasoning.effort.as_deref(), Some("high"));
    let through_shell = settings("gpt-5.1", "include_apply_patch_tool = false");
    assert_eq!(through_shell.tools.patch, PatchForm::ThroughShell);
    let verbose = resolved(&["exec", "-m", "gpt-5.1", "hi"], &config("model_verbosity = 'low'"));
    assert_eq!(verbose.settings.verbosity, None);
    assert!(verbose.notices.iter().any(|notice| notice.contains("chat completions")));
}
