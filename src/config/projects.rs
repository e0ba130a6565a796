//! What the settings file of a project may say, once the user trusts the project.
//!
//! It comes with the repository, changes with every pull, and a command that may write into the
//! workspace may write it too. So it never opens anything: of the sandbox it says less, never more.
//! Who answers for the model, who holds credentials, what runs outside the sandbox and what
//! commands find in their environment are the user's to say; so is every file that is read. A key
//! that is not in the table is the user's.

use toml_edit::Item;

/// Keys that a project may set.
static KEYS: &[&[&str]] = &[
    &["model"],
    &["review_model"],
    &["model_context_window"],
    &["model_max_output_tokens"],
    &["model_auto_compact_token_limit"],
    &["compact_prompt"],
    &["model_reasoning_effort"],
    &["model_reasoning_summary"],
    &["model_reasoning_summary_format"],
    &["model_verbosity"],
    &["model_supports_reasoning_summaries"],
    &["developer_instructions"],
    &["project_doc_max_bytes"],
    &["project_doc_fallback_filenames"],
    &["tool_output_token_limit"],
    &["sandbox_mode"],
    &["sandbox_workspace_write", "network_access"],
    &["sandbox_workspace_write", "exclude_tmpdir_env_var"],
    &["sandbox_workspace_write", "exclude_slash_tmp"],
    &["features", "unified_exec"],
    &["features", "shell_command_tool"],
    &["features", "apply_patch_freeform"],
    &["features", "view_image_tool"],
    &["features", "file_tools"],
    &["experimental_use_unified_exec_tool"],
    &["use_experimental_unified_exec_tool"],
    &["experimental_use_exec_command_tool"],
    &["experimental_use_freeform_apply_patch"],
    &["include_apply_patch_tool"],
];

/// Whether a project's value at a path counts.
pub fn may_say(path: &[&str], item: &Item) -> bool {
    if !KEYS.contains(&path) {
        return false;
    }
    match path {
        ["sandbox_mode"] => item.as_str() == Some("read-only"),
        ["sandbox_workspace_write", "network_access"] => item.as_bool() == Some(false),
        ["sandbox_workspace_write", _] => item.as_bool() == Some(true),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use toml_edit::Document;

    use super::*;
    use crate::config::keys::{self, Knowledge};

    #[test]
    fn every_key_is_known() {
        for key in KEYS {
            assert!(matches!(keys::look(key), Knowledge::Known(_)), "{key:?}");
        }
    }

    #[test]
    fn nothing_is_opened() {
        let cases = [
            ("sandbox_mode = 'read-only'", true),
            ("sandbox_mode = 'workspace-write'", false),
            ("sandbox_mode = 'danger-full-access'", false),
            ("sandbox_workspace_write.network_access = true", false),
            ("sandbox_workspace_write.network_access = false", true),
            ("sandbox_workspace_write.exclude_slash_tmp = true", true),
            ("sandbox_workspace_write.exclude_slash_tmp = false", false),
            ("sandbox_workspace_write.writable_roots = []", false),
            ("approval_policy = 'never'", false),
            ("notify = []", false),
            ("model_provider = 'x'", false),
            ("model_providers.x = {}", false),
            ("openai_base_url = 'http://x'", false),
            ("model_instructions_file = '/etc/shadow'", false),
            ("shell_environment_policy.ignore_default_excludes = true", false),
            ("shell_environment_policy.set = {}", false),
            ("projects.x = {}", false),
            ("profile = 'x'", false),
            ("profiles.x = {}", false),
            ("mcp_servers.x = {}", false),
            ("model = 'x'", true),
        ];
        for (text, expected) in cases {
            let document = Document::parse(text).expect(text);
            let (path, _) = text.split_once(" =").expect(text);
            let path: Vec<&str> = path.split('.').collect();
            let item = path.iter().fold(document.as_item(), |item, name| &item[name]);
            assert_eq!(may_say(&path, item), expected, "{text}");
        }
    }
}
