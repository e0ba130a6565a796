//! The table of keys that config.toml may hold, and the type of each.
//!
//! A known key of the wrong type is an error, so that a typing mistake is not taken for a default.
//! Keys that are not in the table belong to other versions or programs: they are ignored, unless
//! the command line asks to be strict. A row is here when somebody reads the key, or when its type
//! is so settled that a wrong one can only be a mistake.

/// What a key holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    Flag,
    /// A whole number, not negative.
    Count,
    Texts,
    /// A length of time: text such as `5m`, or a number of seconds.
    Time,
    /// A table of texts.
    TextMap,
    /// A table whose inside is not looked at here.
    Table,
    /// Anything: types that differ between versions.
    Any,
}

impl Kind {
    /// What to call it in a message.
    pub fn described(self) -> &'static str {
        match self {
            Kind::Text | Kind::Choice(_) => "text in quotes",
            Kind::Flag => "true or false",
            Kind::Count => "a whole number that is not negative",
            Kind::Texts => "a list of texts",
            Kind::Time => "a time such as \"90s\" or \"5m\", or a number of seconds",
            Kind::TextMap => "a table of texts",
            Kind::Table => "a table",
            Kind::Any => "anything",
        }
    }
}

/// What is known about a path of keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Knowledge {
    Known(Kind),
    /// A table on the way to known keys.
    OnTheWay,
    Unknown,
}

/// What the table says of a path.
pub fn look(path: &[&str]) -> Knowledge {
    if let ["profiles", rest @ ..] = path {
        return match rest {
            [] | [_] => Knowledge::OnTheWay,
            [_, "profiles" | "profile" | "projects", ..] => Knowledge::Unknown,
            [_, inside @ ..] => look(inside),
        };
    }
    let mut on_the_way = false;
    for (pattern, kind) in KEYS {
        let mut parts = pattern.split('.');
        let fits = path.iter().all(|name| parts.next().is_some_and(|part| fits(part, name)));
        match (fits, parts.next()) {
            (true, None) => return Knowledge::Known(*kind),
            (true, Some(_)) => on_the_way = true,
            (false, _) => {}
        }
    }
    if on_the_way { Knowledge::OnTheWay } else { Knowledge::Unknown }
}

fn fits(part: &str, name: &str) -> bool {
    part == "*" || part == name
}

/// The names that stand at the top of a file.
pub fn top_names() -> impl Iterator<Item = &'static str> {
    let top = |(pattern, _): &(&'static str, Kind)| pattern.split('.').next().unwrap_or_default();
    KEYS.iter().map(top).chain(["profiles"])
}

/// Switches that `features.NAME` and `--enable` know, and what they are without being set.
pub static FEATURES: &[(&str, bool)] = &[
    ("unified_exec", false),
    ("shell_command_tool", false),
    ("rmcp_client", false),
    ("apply_patch_freeform", false),
    ("view_image_tool", true),
    ("web_search_request", false),
    ("experimental_sandbox_command_assessment", false),
    ("ghost_commit", true),
    ("enable_experimental_windows_sandbox", false),
    // Ours: offer `grep_files`, `read_file` and `list_dir` to any model.
    ("file_tools", false),
];

pub const EFFORTS: Kind = Kind::Text;
const SUMMARIES: Kind = Kind::Choice(&["auto", "concise", "detailed", "none"]);
const VERBOSITIES: Kind = Kind::Choice(&["low", "medium", "high"]);
const APPROVALS: Kind = Kind::Choice(&["untrusted", "on-failure", "on-request", "never"]);
const SANDBOXES: Kind = Kind::Choice(&["read-only", "workspace-write", "danger-full-access"]);
const LOCAL_PROVIDERS: Kind = Kind::Choice(&["ollama", "lmstudio"]);
const WEB_SEARCHES: Kind = Kind::Choice(&["disabled", "cached", "indexed", "live"]);
const STORES: Kind = Kind::Choice(&["file", "keyring", "auto"]);

/// Paths and their kinds; `*` stands for any one name.
static KEYS: &[(&str, Kind)] = &[
    ("model", Kind::Text),
    ("review_model", Kind::Text),
    ("model_provider", Kind::Text),
    ("model_context_window", Kind::Count),
    ("model_max_output_tokens", Kind::Count),
    ("model_auto_compact_token_limit", Kind::Count),
    ("compact_prompt", Kind::Text),
    ("experimental_compact_prompt_file", Kind::Text),
    ("model_reasoning_effort", EFFORTS),
    ("model_reasoning_summary", SUMMARIES),
    ("model_verbosity", VERBOSITIES),
    ("model_supports_reasoning_summaries", Kind::Flag),
    ("model_reasoning_summary_format", Kind::Text),
    ("approval_policy", APPROVALS),
    ("sandbox_mode", SANDBOXES),
    // Ours: what no command may read, in any mode.
    ("sandbox_deny_read", Kind::Texts),
    ("sandbox_workspace_write.writable_roots", Kind::Texts),
    ("sandbox_workspace_write.network_access", Kind::Flag),
    ("sandbox_workspace_write.exclude_tmpdir_env_var", Kind::Flag),
    ("sandbox_workspace_write.exclude_slash_tmp", Kind::Flag),
    ("shell_environment_policy.inherit", Kind::Choice(&["all", "core", "none"])),
    ("shell_environment_policy.ignore_default_excludes", Kind::Flag),
    ("shell_environment_policy.exclude", Kind::Texts),
    ("shell_environment_policy.set", Kind::TextMap),
    ("shell_environment_policy.include_only", Kind::Texts),
    ("shell_environment_policy.experimental_use_profile", Kind::Flag),
    ("features.unified_exec", Kind::Flag),
    ("features.shell_command_tool", Kind::Flag),
    ("features.rmcp_client", Kind::Flag),
    ("features.apply_patch_freeform", Kind::Flag),
    ("features.view_image_tool", Kind::Flag),
    ("features.web_search_request", Kind::Flag),
    ("features.experimental_sandbox_command_assessment", Kind::Flag),
    ("features.ghost_commit", Kind::Flag),
    ("features.enable_experimental_windows_sandbox", Kind::Flag),
    ("features.file_tools", Kind::Flag),
    ("features.*", Kind::Any),
    ("experimental_use_unified_exec_tool", Kind::Flag),
    ("use_experimental_unified_exec_tool", Kind::Flag),
    ("experimental_use_exec_command_tool", Kind::Flag),
    ("experimental_use_freeform_apply_patch", Kind::Flag),
    ("include_apply_patch_tool", Kind::Flag),
    ("experimental_use_rmcp_client", Kind::Flag),
    ("experimental_sandbox_command_assessment", Kind::Flag),
    ("tools", Kind::Table),
    ("web_search", WEB_SEARCHES),
    // Ours: what a turn may use.
    ("max_turns", Kind::Count),
    ("max_tokens", Kind::Count),
    ("timeout", Kind::Time),
    ("notify", Kind::Texts),
    ("mcp_servers", Kind::Table),
    ("mcp_oauth_credentials_store", STORES),
    ("model_providers.*.name", Kind::Text),
    ("model_providers.*.base_url", Kind::Text),
    ("model_providers.*.env_key", Kind::Text),
    ("model_providers.*.env_key_instructions", Kind::Text),
    ("model_providers.*.experimental_bearer_token", Kind::Text),
    ("model_providers.*.wire_api", Kind::Choice(&["responses", "chat"])),
    ("model_providers.*.query_params", Kind::TextMap),
    ("model_providers.*.http_headers", Kind::TextMap),
    ("model_providers.*.env_http_headers", Kind::TextMap),
    ("model_providers.*.request_max_retries", Kind::Count),
    ("model_providers.*.stream_max_retries", Kind::Count),
    ("model_providers.*.stream_idle_timeout_ms", Kind::Count),
    ("model_providers.*.requires_openai_auth", Kind::Flag),
    // Ours: a provider that answers from a recording.
    ("model_providers.*.kind", Kind::Choice(&["http", "replay"])),
    ("model_providers.*.recording", Kind::Text),
    ("openai_base_url", Kind::Text),
    ("chatgpt_base_url", Kind::Text),
    ("oss_provider", LOCAL_PROVIDERS),
    ("profile", Kind::Text),
    ("instructions", Kind::Text),
    ("developer_instructions", Kind::Text),
    ("experimental_instructions_file", Kind::Text),
    ("model_instructions_file", Kind::Text),
    ("project_doc_max_bytes", Kind::Count),
    ("project_doc_fallback_filenames", Kind::Texts),
    ("history.persistence", Kind::Choice(&["save-all", "none"])),
    ("history.max_bytes", Kind::Count),
    ("file_opener", Kind::Text),
    ("hide_agent_reasoning", Kind::Flag),
    ("show_raw_agent_reasoning", Kind::Flag),
    ("check_for_update_on_startup", Kind::Flag),
    ("disable_paste_burst", Kind::Flag),
    ("tui", Kind::Table),
    ("notice", Kind::Table),
    ("analytics", Kind::Any),
    ("feedback", Kind::Any),
    ("tool_output_token_limit", Kind::Count),
    ("forced_login_method", Kind::Choice(&["chatgpt", "api"])),
    ("forced_chatgpt_workspace_id", Kind::Text),
    ("cli_auth_credentials_store", STORES),
    ("otel", Kind::Table),
    ("projects.*.trust_level", Kind::Choice(&["trusted", "untrusted"])),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_known_on_the_way_or_neither() {
        let cases: &[(&[&str], Knowledge)] = &[
            (&["model"], Knowledge::Known(Kind::Text)),
            (&["model_providers"], Knowledge::OnTheWay),
            (&["model_providers", "any name"], Knowledge::OnTheWay),
            (&["model_providers", "x", "base_url"], Knowledge::Known(Kind::Text)),
            (&["model_providers", "x", "base_url", "y"], Knowledge::Unknown),
            (&["model_providers", "x", "supports_websockets"], Knowledge::Unknown),
            (&["features", "ghost_commit"], Knowledge::Known(Kind::Flag)),
            (&["features", "of another version"], Knowledge::Known(Kind::Any)),
            (&["profiles", "fast", "model"], Knowledge::Known(Kind::Text)),
            (&["profiles", "fast", "features", "unified_exec"], Knowledge::Known(Kind::Flag)),
            (&["profiles"], Knowledge::OnTheWay),
            (&["profiles", "fast", "profiles", "x", "model"], Knowledge::Unknown),
            (&["disable_response_storage"], Knowledge::Unknown),
        ];
        for (path, knowledge) in cases {
            assert_eq!(look(path), *knowledge, "{path:?}");
        }
    }

    #[test]
    fn every_feature_is_a_known_flag() {
        for (name, _) in FEATURES {
            assert_eq!(look(&["features", name]), Knowledge::Known(Kind::Flag), "{name}");
        }
    }
}
