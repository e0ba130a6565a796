use super::*;
use crate::fronts::app_server::types::codec::Typed;
use crate::host::disk::config::Machine;
use crate::host::disk::tests::Place;
use crate::words::settings::PatchForm;

fn start(json: &str) -> Overrides {
    let params = v2::ThreadStartParams::decode(json).expect("parameters");
    Overrides::of_start(&params).by("probe")
}

fn loaded(place: &Place, overrides: &Overrides) -> Result<Loaded, Failure> {
    let env = |name: &str| match name {
        "WINDLASS_HOME" => place.path().to_str().map(str::to_owned),
        _ => None,
    };
    let etc = place.path().join("etc");
    let machine = Machine { etc: &[etc.to_str().expect("UTF-8")], passwd: "/no/such/file" };
    let base = Invocation::default();
    settings_in(&Surroundings { machine, env: &env, base: &base }, overrides)
}

fn thread(place: &Place, json: &str) -> ThreadSettings {
    loaded(place, &start(json)).expect("settings").resolved.settings
}

/// A home with these settings, and a directory to work in.
fn placed(config: &str) -> (Place, String) {
    let place = Place::new();
    place.file("config.toml", config);
    let work = place.directory("work");
    let work = work.to_str().expect("UTF-8").to_owned();
    (place, work)
}

#[test]
fn who_says_nothing_gets_what_is_configured() {
    let (place, work) = placed("model = 'm'\napproval_policy = 'untrusted'\n");
    place.file("work/AGENTS.md", "be kind");
    let found = loaded(&place, &start(&format!("{{\"cwd\":{work:?}}}"))).expect("settings");
    let settings = &found.resolved.settings;
    assert_eq!((&*settings.model, &*settings.cwd), ("m", &*work));
    assert_eq!(settings.approval, ApprovalPolicy::Untrusted);
    assert_eq!(settings.sandbox.mode, SandboxMode::ReadOnly);
    assert_eq!((settings.source, &*settings.originator), ("vscode", "probe"));
    assert_eq!(settings.project_notes.as_deref(), Some("be kind"));
    assert_eq!(found.notes, [place.path().join("work/AGENTS.md")]);
}

#[test]
fn people_are_asked_unless_somebody_says_otherwise() {
    let (place, work) = placed("");
    let cwd = format!("\"cwd\":{work:?}");
    assert_eq!(thread(&place, &format!("{{{cwd}}}")).approval, ApprovalPolicy::OnRequest);
    for (word, policy) in [
        ("\"never\"", ApprovalPolicy::Never),
        ("\"onFailure\"", ApprovalPolicy::OnFailure),
        ("\"unlessTrusted\"", ApprovalPolicy::Untrusted),
        (
            "{\"granular\":{\"sandbox_approval\":false,\"rules\":true,\"mcp_elicitations\":true}}",
            ApprovalPolicy::Never,
        ),
    ] {
        let json = format!("{{{cwd},\"approvalPolicy\":{word}}}");
        assert_eq!(thread(&place, &json).approval, policy, "{word}");
    }
}

#[test]
fn a_trusted_place_may_be_worked_in() {
    let (place, work) = placed("");
    place.file("config.toml", format!("[projects.{work:?}]\ntrust_level = 'trusted'\n"));
    place.file("work/.codex/config.toml", "model = 'projects'\n");
    let settings = thread(&place, &format!("{{\"cwd\":{work:?}}}"));
    assert_eq!(settings.sandbox.mode, SandboxMode::WorkspaceWrite);
    assert_eq!(&*settings.model, "projects");
    let settings = thread(&place, &format!("{{\"cwd\":{work:?},\"sandbox\":\"read-only\"}}"));
    assert_eq!(settings.sandbox.mode, SandboxMode::ReadOnly);
}

#[test]
fn the_request_stands_over_everything_that_is_configured() {
    let config = "model = 'base'\nprofile = 'p'\nmodel_reasoning_effort = 'low'\n\
                  developer_instructions = 'old'\n[profiles.p]\nmodel = 'profiled'\n\
                  [model_providers.x]\nenv_key = 'K'\nexperimental_bearer_token = 't'\n";
    let (place, work) = placed(config);
    let json = format!(
        r#"{{"cwd":{work:?},"model":"asked","modelProvider":"x","developerInstructions":"new",
           "baseInstructions":"be brief","config":{{"model_reasoning_effort":"high",
           "sandbox_workspace_write":{{"network_access":true}},"model_providers.x.env_key":null,
           "model_providers":{{"x":{{"query_params":{{"a=b":"1"}}}}}}}},
           "sandbox":"workspaceWrite","ephemeral":true}}"#
    );
    let found = loaded(&place, &start(&json)).expect("settings").resolved;
    let settings = found.settings;
    assert_eq!((&*settings.model, &*settings.provider), ("asked", "x"));
    assert_eq!(settings.reasoning.effort.as_deref(), Some("high"));
    assert_eq!(settings.developer_instructions.as_deref(), Some("new"));
    assert_eq!(settings.instructions, "be brief");
    assert_eq!(settings.sandbox.mode, SandboxMode::WorkspaceWrite);
    assert!(settings.sandbox.network && found.options.ephemeral);
    assert_eq!(found.provider.env_key, None);
    assert_eq!(found.provider.query_params, [("a=b".into(), "1".into())]);
    let unset = format!("{{\"cwd\":{work:?},\"config\":{{\"developer_instructions\":null}}}}");
    let settings = thread(&place, &unset);
    assert_eq!((settings.developer_instructions, &*settings.model), (None, "profiled"));
}

#[test]
fn conversations_of_the_first_protocol_say_the_same_and_more() {
    let (place, work) = placed("[profiles.fast]\nmodel = 'quick'\n");
    let json = format!(
        r#"{{"cwd":{work:?},"profile":"fast","sandbox":"workspace-write","compactPrompt":"sum up",
           "approvalPolicy":"untrusted","includeApplyPatchTool":false}}"#
    );
    let params = v1::NewConversationParams::decode(&json).expect("parameters");
    let found = loaded(&place, &Overrides::of_conversation(&params)).expect("settings");
    let settings = found.resolved.settings;
    assert_eq!((&*settings.model, &*settings.compact_prompt), ("quick", "sum up"));
    assert_eq!(settings.approval, ApprovalPolicy::Untrusted);
    assert_eq!(settings.tools.patch, PatchForm::ThroughShell);
    assert!(found.resolved.notices.is_empty(), "{:?}", found.resolved.notices);
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let (place, work) = placed("");
    place.file("etc/requirements.toml", "allowed_approval_policies = ['on-request']\n");
    for (fields, part) in [
        ("\"config\":{\"model\":5}", "config: model: expected text in quotes"),
        ("\"config\":{\"a..b\":5}", "config: \"a..b\": a part of the key is empty"),
        ("\"config\":{\"notify\":[null]}", "config: notify: null cannot stand in a list"),
        ("\"modelProvider\":\"nobody\"", "there is no provider \"nobody\""),
        ("\"approvalPolicy\":\"never\"", "the approval policy never is not allowed"),
        ("\"cwd\":\"/no/such/place\"", "cwd /no/such/place: No such file"),
    ] {
        let json = format!("{{\"cwd\":{work:?},{fields}}}");
        let failure = loaded(&place, &start(&json)).expect_err(fields);
        assert_eq!(failure.code, -32600);
        assert!(failure.message.contains(part), "{fields}: {failure}");
    }
}

fn turned(json: &str) -> Result<(ThreadSettings, ThreadSettings), Failure> {
    let (place, work) = placed("model = 'gpt-5.1-codex'\nsandbox_deny_read = ['/etc/shadow']\n");
    let found = loaded(&place, &start(&format!("{{\"cwd\":{work:?}}}"))).expect("settings");
    let before = found.resolved.settings.clone();
    let json = json.replace("WORK", &work);
    let json = format!("{{\"threadId\":\"t\",\"input\":[],{json}}}");
    let params = v2::TurnStartParams::decode(&json).expect("parameters");
    let after = turn_overrides(&before, &found, &TurnOverrides::of_turn(&params)?)?;
    Ok((before, after))
}

#[test]
fn a_turn_changes_what_it_names_and_nothing_else() {
    let (before, after) = turned("\"effort\":\"xhigh\"").expect("settings");
    let mut expected = before.clone();
    expected.reasoning.effort = Some("xhigh".into());
    assert_eq!(after, expected);
    let sandbox = r#""sandboxPolicy":{"type":"workspaceWrite","writableRoots":["/w"],
                     "networkAccess":true},"approvalPolicy":"never","summary":"none"#;
    let (_, after) = turned(&format!("{sandbox}\",\"outputSchema\":{{}}")).expect("settings");
    assert_eq!(after.sandbox.mode, SandboxMode::WorkspaceWrite);
    assert_eq!(after.sandbox.writable_roots, ["/w".into()]);
    assert_eq!(after.sandbox.unreadable, ["/etc/shadow".into()]);
    assert!(after.sandbox.network && after.approval == ApprovalPolicy::Never);
    assert_eq!((after.reasoning.summary, after.output_schema.as_deref()), (None, Some("{}")));
}

#[test]
fn whoever_is_confined_from_outside_is_not_confined_here() {
    for network in ["enabled", "restricted"] {
        let json =
            format!(r#""sandboxPolicy":{{"type":"externalSandbox","networkAccess":"{network}"}}"#);
        let (_, after) = turned(&json).expect("settings");
        assert_eq!(after.sandbox.mode, SandboxMode::DangerFullAccess);
        assert!(after.sandbox.network);
    }
}

#[test]
fn what_follows_from_the_model_follows_the_new_one() {
    let (before, after) = turned("\"model\":\"gpt-4.1\"").expect("settings");
    assert_eq!(before.tools.patch, PatchForm::Freeform);
    assert_eq!(after.tools.patch, PatchForm::Function);
    assert_eq!(after.context_window, Some(1_047_576));
    assert!(before.reasoning.supported && !after.reasoning.supported);
    let (before, after) = turned("\"model\":\"gpt-5.1-codex\"").expect("settings");
    assert_eq!(before, after);
}

#[test]
fn a_turn_is_refused_what_is_not_there() {
    let long = format!("\"outputSchema\":\"{}\"", "x".repeat(OUTPUT_SCHEMA_BYTES_MAX));
    for (json, part) in [
        ("\"cwd\":\"relative\"", "cwd: \"relative\": No such file"),
        ("\"cwd\":\"WORK/gone\"", "gone\": No such file"),
        ("\"cwd\":\"WORK/../config.toml\"", "not a directory"),
        ("\"model\":\" \"", "the name of the model is empty"),
        ("\"effort\":\"\"", "effort: not a word"),
        (
            r#""sandboxPolicy":{"type":"workspaceWrite","writableRoots":["w"]}"#,
            "writableRoots: \"w\" is not an absolute path",
        ),
        (&long, "outputSchema: larger than"),
    ] {
        let failure = turned(json).expect_err("refused");
        assert!(failure.message.contains(part), "{failure}");
    }
}
