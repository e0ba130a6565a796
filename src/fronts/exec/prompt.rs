//! The prompt, from the command line and from what was piped in.

use std::fmt;

/// There is nothing to ask the model.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoPrompt {
    /// Neither an argument nor any input.
    Missing,
    /// What there is holds only white space.
    Blank,
}

impl fmt::Display for NoPrompt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            NoPrompt::Missing => "no prompt: give one as an argument or pipe it into stdin",
            NoPrompt::Blank => "no prompt: what was given is empty",
        })
    }
}

/// Makes the prompt of what the argument says and what stdin brought; `-` is not an argument here.
///
/// With both, the input follows the argument between markers of its own. Input of white space alone
/// counts as none.
pub fn compose(argument: Option<&str>, input: Option<&str>) -> Result<String, NoPrompt> {
    let said = |text: &&str| !text.trim().is_empty();
    match (argument.filter(said), input.filter(said)) {
        (Some(argument), Some(input)) => {
            let newline = if input.ends_with('\n') { "" } else { "\n" };
            Ok(format!("{argument}\n\n<stdin>\n{input}{newline}</stdin>"))
        }
        (Some(text), None) | (None, Some(text)) => Ok(text.to_owned()),
        (None, None) if argument.is_none() && input.is_none() => Err(NoPrompt::Missing),
        (None, None) => Err(NoPrompt::Blank),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_follows_the_argument_between_markers() {
        for (argument, input, prompt) in [
            (Some("fix"), None, Ok("fix")),
            (None, Some("fix\n"), Ok("fix\n")),
            (Some("fix"), Some("log"), Ok("fix\n\n<stdin>\nlog\n</stdin>")),
            (Some("fix"), Some("a\nb\n"), Ok("fix\n\n<stdin>\na\nb\n</stdin>")),
            (Some("fix"), Some(" \n"), Ok("fix")),
            (Some(" "), Some("log"), Ok("log")),
            (None, None, Err(NoPrompt::Missing)),
            (None, Some(""), Err(NoPrompt::Blank)),
            (None, Some("\n\t "), Err(NoPrompt::Blank)),
            (Some(""), None, Err(NoPrompt::Blank)),
        ] {
            let composed = compose(argument, input);
            assert_eq!(composed.as_deref(), prompt.as_ref().copied(), "{argument:?} {input:?}");
        }
    }
}
