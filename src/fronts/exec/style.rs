//! Colours on a terminal: whether, and which.
//!
//! Only our own text is coloured, piece by piece: each piece starts and ends its own colour, so
//! nothing that is shown between pieces can inherit one.

/// What `--color` says.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Colour {
    Always,
    Never,
    #[default]
    Auto,
}

/// What is known of the place colours would go to.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Place<'a> {
    pub terminal: bool,
    /// The value of `NO_COLOR`; any but the empty one turns colours off (no-color.org).
    pub no_color: Option<&'a str>,
    /// The value of `TERM`.
    pub term: Option<&'a str>,
}

impl Colour {
    /// Decides; an explicit choice on the command line beats the environment.
    pub fn paint(self, place: Place<'_>) -> Paint {
        let on = match self {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => {
                place.terminal
                    && place.no_color.is_none_or(str::is_empty)
                    && place.term.is_none_or(|term| term != "dumb")
            }
        };
        if on { Paint::On } else { Paint::Off }
    }
}

/// Whether text is coloured.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Paint {
    On,
    #[default]
    Off,
}

/// What a piece of text is, to the eye.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ink {
    Plain,
    Heading,
    Faint,
    Good,
    Bad,
    Caution,
    Added,
    Removed,
    Place,
}

impl Ink {
    /// Parameters of the escape sequence that starts this colour; empty for none.
    fn code(self) -> &'static str {
        match self {
            Ink::Plain => "",
            Ink::Heading => "1;35",
            Ink::Faint => "2",
            Ink::Good | Ink::Added => "32",
            Ink::Bad => "1;31",
            Ink::Caution => "33",
            Ink::Removed => "31",
            Ink::Place => "36",
        }
    }
}

impl Paint {
    /// Appends `text`, which must be safe to show.
    pub fn push(self, out: &mut Vec<u8>, ink: Ink, text: &str) {
        let code = match self {
            Paint::On => ink.code(),
            Paint::Off => "",
        };
        if code.is_empty() {
            out.extend_from_slice(text.as_bytes());
            return;
        }
        for piece in ["\x1b[", code, "m", text, "\x1b[0m"] {
            out.extend_from_slice(piece.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_that_want_them() {
        let terminal = Place { terminal: true, no_color: None, term: Some("xterm") };
        for (colour, place, paint) in [
            (Colour::Auto, terminal, Paint::On),
            (Colour::Auto, Place { terminal: false, ..terminal }, Paint::Off),
            (Colour::Auto, Place { no_color: Some("1"), ..terminal }, Paint::Off),
            (Colour::Auto, Place { no_color: Some(""), ..terminal }, Paint::On),
            (Colour::Auto, Place { term: Some("dumb"), ..terminal }, Paint::Off),
            (Colour::Auto, Place { term: None, ..terminal }, Paint::On),
            (Colour::Never, terminal, Paint::Off),
            (Colour::Always, Place { no_color: Some("1"), ..Place::default() }, Paint::On),
        ] {
            assert_eq!(colour.paint(place), paint, "{colour:?} {place:?}");
        }
    }

    #[test]
    fn each_piece_ends_its_colour() {
        let mut out = Vec::new();
        Paint::On.push(&mut out, Ink::Bad, "no");
        Paint::On.push(&mut out, Ink::Plain, "-");
        Paint::Off.push(&mut out, Ink::Bad, "no");
        assert_eq!(out, b"\x1b[1;31mno\x1b[0m-no");
    }
}
