//! What models are told of each tool: its name, description and parameters.
//!
//! Names, types and required lists are what models were trained on; the words are ours. Everything
//! here is sent with every request, so it is short, and `TOOL_TEXTS_BYTES_MAX` holds it to that.
//! Parameters are JSON Schema as text, ready to be copied into a request.

use crate::words::request::{ToolForm, ToolSpec};
use crate::words::settings::WebReach;

pub const SHELL: ToolSpec = ToolSpec {
    name: "shell",
    description: "Runs a program and returns its exit code and output. `command` is the argument \
                  vector; nothing expands it. For pipes, redirects or variables give \
                  [\"bash\", \"-lc\", \"...\"].",
    form: ToolForm::Function {
        parameters: concat!(
            r#"{"type":"object","properties":{"#,
            r#""command":{"type":"array","items":{"type":"string"},"#,
            r#""description":"The program and its arguments"},"#,
            r#""workdir":{"type":"string","#,
            r#""description":"Default: the working directory"},"#,
            r#""timeout_ms":{"type":"number","#,
            r#""description":"Until it is killed; default 10000"},"#,
            r#""with_escalated_permissions":{"type":"boolean","#,
            r#""description":"Leave the sandbox; only under on-request"},"#,
            r#""justification":{"type":"string","#,
            r#""description":"One sentence for the user: why"}},"#,
            r#""required":["command"],"additionalProperties":false}"#,
        ),
    },
};

pub const SHELL_COMMAND: ToolSpec = ToolSpec {
    name: "shell_command",
    description: "Runs a script in the user's shell and returns its exit code and output.",
    form: ToolForm::Function {
        parameters: concat!(
            r#"{"type":"object","properties":{"#,
            r#""command":{"type":"string","description":"The script"},"#,
            r#""workdir":{"type":"string","#,
            r#""description":"Default: the working directory"},"#,
            r#""timeout_ms":{"type":"number","#,
            r#""description":"Until it is killed; default 10000"},"#,
            r#""with_escalated_permissions":{"type":"boolean","#,
            r#""description":"Leave the sandbox; only under on-request"},"#,
            r#""justification":{"type":"string","#,
            r#""description":"One sentence for the user: why"}},"#,
            r#""required":["command"],"additionalProperties":false}"#,
        ),
    },
};

pub const EXEC_COMMAND: ToolSpec = ToolSpec {
    name: "exec_command",
    description: "Runs a command in a terminal. Returns its output once it exits; or, if it still \
                  runs after yield_time_ms, the output so far and a session ID for write_stdin.",
    form: ToolForm::Function {
        parameters: concat!(
            r#"{"type":"object","properties":{"#,
            r#""cmd":{"type":"string","description":"The script"},"#,
            r#""workdir":{"type":"string","#,
            r#""description":"Default: the working directory"},"#,
            r#""shell":{"type":"string","description":"Default: the user's shell"},"#,
            r#""login":{"type":"boolean","description":"As a login shell; default true"},"#,
            r#""tty":{"type":"boolean","#,
            r#""description":"false connects pipes instead; default true"},"#,
            r#""yield_time_ms":{"type":"number","#,
            r#""description":"Milliseconds to wait for its end; default 10000"},"#,
            r#""max_output_tokens":{"type":"number","#,
            r#""description":"Longer output loses its middle; default 10000"},"#,
            r#""with_escalated_permissions":{"type":"boolean","#,
            r#""description":"Leave the sandbox; only under on-request"},"#,
            r#""justification":{"type":"string","#,
            r#""description":"One sentence for the user: why"}},"#,
            r#""required":["cmd"],"additionalProperties":false}"#,
        ),
    },
};

pub const WRITE_STDIN: ToolSpec = ToolSpec {
    name: "write_stdin",
    description: "Writes to a session of exec_command, as if typed, and returns its new output.",
    form: ToolForm::Function {
        parameters: concat!(
            r#"{"type":"object","properties":{"#,
            r#""session_id":{"type":"number","description":"As exec_command returned it"},"#,
            r#""chars":{"type":"string","#,
            r#""description":"Text, with \\n to enter it, \\u0003 for ctrl-C, \\u0004 for the end; empty only waits"},"#,
            r#""yield_time_ms":{"type":"number","#,
            r#""description":"Milliseconds to wait; default 250, or 5000 if chars is empty"},"#,
            r#""max_output_tokens":{"type":"number","#,
            r#""description":"Longer output loses its middle; default 10000"}},"#,
            r#""required":["session_id"],"additionalProperties":false}"#,
        ),
    },
};

/// For models that take freeform tools.
pub const APPLY_PATCH_FREEFORM: ToolSpec = ToolSpec {
    name: "apply_patch",
    description: "Creates, edits, moves and deletes files. The input is a patch as it stands, not \
                  JSON, with paths relative to the working directory. If any part does not fit, \
                  nothing is changed.",
    form: ToolForm::Freeform { grammar: include_str!("prompts/apply_patch.lark") },
};

/// The provider's own shell tool; the provider describes it.
pub const LOCAL_SHELL: ToolSpec =
    ToolSpec { name: "local_shell", description: "", form: ToolForm::LocalShell };

/// For all other models.
pub const APPLY_PATCH: ToolSpec = ToolSpec {
    name: "apply_patch",
    description: include_str!("prompts/apply_patch.md"),
    form: ToolForm::Function {
        parameters: concat!(
            r#"{"type":"object","properties":{"#,
            r#""input":{"type":"string","description":"The whole patch, markers included"}},"#,
            r#""required":["input"],"additionalProperties":false}"#,
        ),
    },
};

pub const UPDATE_PLAN: ToolSpec = ToolSpec {
    name: "update_plan",
    description: "Shows the user your plan, replacing the one before. At most one step is in \
                  progress at a time.",
    form: ToolForm::Function {
        parameters: concat!(
            r#"{"type":"object","properties":{"#,
            r#""explanation":{"type":"string","description":"Why the plan changed, if it did"},"#,
            r#""plan":{"type":"array","description":"All steps in order","#,
            r#""items":{"type":"object","properties":{"#,
            r#""step":{"type":"string","description":"A few words"},"#,
            r#""status":{"type":"string","enum":["pending","in_progress","completed"]}},"#,
            r#""required":["step","status"],"additionalProperties":false}}},"#,
            r#""required":["plan"],"additionalProperties":false}"#,
        ),
    },
};

pub const GREP_FILES: ToolSpec = ToolSpec {
    name: "grep_files",
    description: "Lists the files with a line that a pattern fits, last modified first. Hidden, \
                  binary and git-ignored files are passed over.",
    form: ToolForm::Function {
        parameters: concat!(
            r#"{"type":"object","properties":{"#,
            r#""pattern":{"type":"string","description":"Regular expression"},"#,
            r#""include":{"type":"string","description":"Only these, as *.rs or src/**/*.{ts,tsx}"},"#,
            r#""path":{"type":"string","#,
            r#""description":"Where to search; default: the working directory"},"#,
            r#""limit":{"type":"number","description":"Most paths to return; default 100"}},"#,
            r#""required":["pattern"],"additionalProperties":false}"#,
        ),
    },
};

pub const READ_FILE: ToolSpec = ToolSpec {
    name: "read_file",
    description: "Returns lines of a text file, each as `L<number>: <text>`: a slice, or the \
                  indented block around a line.",
    form: ToolForm::Function {
        parameters: concat!(
            r#"{"type":"object","properties":{"#,
            r#""file_path":{"type":"string","description":"Absolute path"},"#,
            r#""offset":{"type":"number","description":"First line, counted from 1; default 1"},"#,
            r#""limit":{"type":"number","description":"Most lines to return; default 2000"},"#,
            r#""mode":{"type":"string","description":"slice (default) or indentation"},"#,
            r#""indentation":{"type":"object","properties":{"#,
            r#""anchor_line":{"type":"number","description":"A line of the block; default: offset"},"#,
            r#""max_levels":{"type":"number","#,
            r#""description":"Levels to go outward; 0 (default) is all"},"#,
            r#""include_siblings":{"type":"boolean","#,
            r#""description":"Also blocks beside it; default false"},"#,
            r#""include_header":{"type":"boolean","#,
            r#""description":"Comments directly above; default true"},"#,
            r#""max_lines":{"type":"number","#,
            r#""description":"Most lines of the block; default: limit"}},"#,
            r#""additionalProperties":false}},"#,
            r#""required":["file_path"],"additionalProperties":false}"#,
        ),
    },
};

pub const LIST_DIR: ToolSpec = ToolSpec {
    name: "list_dir",
    description: "Lists a directory and what is below it. `/` marks directories, `@` links, `?` \
                  other things that are no files.",
    form: ToolForm::Function {
        parameters: concat!(
            r#"{"type":"object","properties":{"#,
            r#""dir_path":{"type":"string","description":"Absolute path"},"#,
            r#""offset":{"type":"number","description":"First entry, counted from 1; default 1"},"#,
            r#""limit":{"type":"number","description":"Most entries to return; default 25"},"#,
            r#""depth":{"type":"number","description":"Levels to descend; default 2"}},"#,
            r#""required":["dir_path"],"additionalProperties":false}"#,
        ),
    },
};

/// The provider knows what it is: nothing needs to be described.
pub const fn web_search(reach: WebReach) -> ToolSpec {
    ToolSpec { name: "web_search", description: "", form: ToolForm::WebSearch(reach) }
}

pub const VIEW_IMAGE: ToolSpec = ToolSpec {
    name: "view_image",
    description: "Shows you a PNG, JPEG, GIF or WebP file.",
    form: ToolForm::Function {
        parameters: concat!(
            r#"{"type":"object","properties":{"#,
            r#""path":{"type":"string","#,
            r#""description":"Absolute, or from the working directory"}},"#,
            r#""required":["path"],"additionalProperties":false}"#,
        ),
    },
};

/// Every tool of this page that is called with JSON.
pub const FUNCTIONS: [ToolSpec; 10] = [
    SHELL,
    SHELL_COMMAND,
    EXEC_COMMAND,
    WRITE_STDIN,
    UPDATE_PLAN,
    APPLY_PATCH,
    GREP_FILES,
    READ_FILE,
    LIST_DIR,
    VIEW_IMAGE,
];

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{APPLY_PATCH, APPLY_PATCH_FREEFORM, FUNCTIONS, ToolForm, ToolSpec};
    use crate::limits::TOOL_TEXTS_BYTES_MAX;
    use crate::tools::patch::{Hunk, edited, parse};

    /// A schema or a grammar.
    fn text(tool: &ToolSpec) -> &'static str {
        match tool.form {
            ToolForm::Function { parameters } => parameters,
            ToolForm::Freeform { grammar } => grammar,
            ToolForm::LocalShell | ToolForm::WebSearch(_) => "",
        }
    }

    fn schema(tool: &ToolSpec) -> Value {
        serde_json::from_str(text(tool)).unwrap_or_else(|error| panic!("{}: {error}", tool.name))
    }

    /// Names with their types, required ones marked.
    fn shape(schema: &Value) -> String {
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        let properties = schema["properties"].as_object().unwrap();
        let mut names: Vec<String> = properties
            .iter()
            .map(|(name, property)| {
                let mark = if required.contains(&Value::from(name.as_str())) { "!" } else { "" };
                format!("{name}{mark}:{}", property["type"].as_str().unwrap())
            })
            .collect();
        names.sort();
        names.join(" ")
    }

    #[test]
    fn names_types_and_required_lists_are_as_models_know_them() {
        let escalation = "justification:string timeout_ms:number";
        let rest = "with_escalated_permissions:boolean workdir:string";
        for (tool, expected) in FUNCTIONS.iter().zip([
            format!("shell command!:array {escalation} {rest}"),
            format!("shell_command command!:string {escalation} {rest}"),
            "exec_command cmd!:string justification:string login:boolean \
             max_output_tokens:number shell:string tty:boolean with_escalated_permissions:boolean \
             workdir:string yield_time_ms:number"
                .to_owned(),
            "write_stdin chars:string max_output_tokens:number session_id!:number \
             yield_time_ms:number"
                .to_owned(),
            "update_plan explanation:string plan!:array".to_owned(),
            "apply_patch input!:string".to_owned(),
            "grep_files include:string limit:number path:string pattern!:string".to_owned(),
            "read_file file_path!:string indentation:object limit:number mode:string offset:number"
                .to_owned(),
            "list_dir depth:number dir_path!:string limit:number offset:number".to_owned(),
            "view_image path!:string".to_owned(),
        ]) {
            assert_eq!(format!("{} {}", tool.name, shape(&schema(tool))), expected);
        }
    }

    #[test]
    fn every_object_is_closed_and_every_list_has_items() {
        fn walk(value: &Value) {
            if value["type"] == "object" {
                assert_eq!(value["additionalProperties"], false, "{value}");
            }
            if value["type"] == "array" {
                assert!(value["items"].is_object(), "{value}");
            }
            match value {
                Value::Object(fields) => fields.values().for_each(walk),
                Value::Array(items) => items.iter().for_each(walk),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
        FUNCTIONS.iter().for_each(|tool| walk(&schema(tool)));
    }

    #[test]
    fn what_every_request_carries_is_short() {
        let all: usize = FUNCTIONS
            .iter()
            .chain([&APPLY_PATCH_FREEFORM])
            .map(|tool| tool.name.len() + tool.description.len() + text(tool).len())
            .sum();
        assert!(all <= TOOL_TEXTS_BYTES_MAX, "{all}");
    }

    #[test]
    fn the_example_patch_is_one() {
        let text = APPLY_PATCH.description;
        let start = text.find("*** Begin Patch").unwrap();
        let end = text.find("*** End Patch").unwrap() + "*** End Patch".len();
        let patch = parse(&text[start..end]).unwrap();
        let Hunk::Update { chunks, .. } = &patch.hunks[1] else { panic!("{patch:?}") };
        let old = "def greet():\n    name = ask()\n    print(\"Hi\", name)\n";
        let new = "def greet():\n    name = ask()\n    print(\"Hello,\", name)\n";
        assert_eq!(edited(old, chunks, "src/app.py").as_deref(), Ok(new));
    }

    #[test]
    fn the_grammar_knows_every_marker() {
        for marker in [
            "*** Begin Patch",
            "*** End Patch",
            "*** Add File: ",
            "*** Delete File: ",
            "*** Update File: ",
            "*** Move to: ",
            "*** End of File",
        ] {
            assert!(text(&APPLY_PATCH_FREEFORM).contains(&format!("\"{marker}\"")), "{marker}");
        }
    }
}
