//! Patterns of `.gitignore` files: which paths git leaves alone.
//!
//! One [`Ignores`] holds the rules of one file and is asked about paths relative to that file's
//! directory; the last rule that fits counts. What several files say together, and that nothing
//! below an ignored directory comes back, is left to whoever walks. Matching works on bytes, as git
//! does, and takes time in proportion to pattern and path. The format is described in gitignore(5).

use crate::limits::{GLOB_ALTERNATIVES_MAX, GLOB_BYTES_MAX, IGNORE_RULES_MAX};

/// The rules of one file.
#[derive(Debug, Default)]
pub struct Ignores {
    rules: Vec<Rule>,
}

/// What a rule says of a path that it fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Ignored,
    /// A rule with `!` takes it back.
    Kept,
}

#[derive(Debug)]
struct Rule {
    verdict: Verdict,
    /// Fits directories alone.
    is_of_directories: bool,
    glob: Glob,
}

/// A pattern for paths.
#[derive(Debug)]
pub struct Glob {
    /// Whether it is about names in any directory, instead of whole paths.
    is_of_names: bool,
    tokens: Vec<Token>,
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Byte(u8),
    /// One byte, but no slash: `?`.
    One,
    /// One byte of a set, but no slash: `[a-z]`.
    Set {
        is_negated: bool,
        ranges: Vec<(u8, u8)>,
    },
    /// Any bytes, but no slash: `*`.
    Star,
    /// Any bytes: `**` at the end.
    Deep,
    /// Nothing, or what `InDirectories` fits: the first half of `**/`.
    Directories,
    /// Any bytes and a slash: the second half of `**/`.
    InDirectories,
}

impl Ignores {
    /// Reads a file. Lines that are no pattern ignore nothing.
    pub fn parse(text: &[u8]) -> Ignores {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let lines = text.split(|&byte| byte == b'\n');
        Ignores { rules: lines.filter_map(Rule::parse).take(IGNORE_RULES_MAX).collect() }
    }

    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What the rules say of a path below their directory; `None` if nothing.
    pub fn judge(&self, path: &[u8], is_directory: bool) -> Option<Verdict> {
        let mut rules = self.rules.iter().rev();
        let fits = |rule: &&Rule| (is_directory || !rule.is_of_directories) && rule.glob.fits(path);
        rules.find(fits).map(|rule| rule.verdict)
    }
}

impl Rule {
    fn parse(line: &[u8]) -> Option<Rule> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = line.split(|&byte| byte == 0).next().unwrap_or(line);
        if line.first() == Some(&b'#') {
            return None;
        }
        let line = without_trailing_spaces(line);
        let (verdict, line) = match line.strip_prefix(b"!") {
            Some(rest) => (Verdict::Kept, rest),
            None => (Verdict::Ignored, line),
        };
        let (is_of_directories, line) = match line.strip_suffix(b"/") {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        Some(Rule { verdict, is_of_directories, glob: Glob::parse(line)? })
    }
}

impl Glob {
    /// Reads a pattern as a rule has it: with a slash it is about paths, without about names.
    pub fn parse(pattern: &[u8]) -> Option<Glob> {
        if pattern.is_empty() || pattern.len() > GLOB_BYTES_MAX {
            return None;
        }
        let is_of_names = !pattern.contains(&b'/');
        let pattern = pattern.strip_prefix(b"/").unwrap_or(pattern);
        Some(Glob { is_of_names, tokens: tokens(pattern)? })
    }

    /// Whether a path fits: one relative to where the pattern starts, without a slash at either
    /// end.
    pub fn fits(&self, path: &[u8]) -> bool {
        let subject = match path.iter().rposition(|&byte| byte == b'/') {
            Some(slash) if self.is_of_names => &path[slash + 1..],
            Some(_) | None => path,
        };
        fits(&self.tokens, subject)
    }
}

/// The patterns that `{a,b}` in a pattern stands for; `None` if there are too many of them.
///
/// Braces that do not pair stand for themselves.
pub fn alternatives(pattern: &str) -> Option<Vec<String>> {
    let mut done = Vec::new();
    let mut open = vec![pattern.to_owned()];
    while let Some(pattern) = open.pop() {
        match first_group(&pattern) {
            None => done.push(pattern),
            Some((start, end, commas)) => {
                let mut from = start + 1;
                for until in commas.into_iter().chain([end]) {
                    let choice = &pattern[from..until];
                    open.push(format!("{}{choice}{}", &pattern[..start], &pattern[end + 1..]));
                    from = until + 1;
                }
            }
        }
        if done.len() + open.len() > GLOB_ALTERNATIVES_MAX {
            return None;
        }
    }
    Some(done)
}

/// The first `{` that has its `}`, both places, and the commas between that are its own.
fn first_group(pattern: &str) -> Option<(usize, usize, Vec<usize>)> {
    let bytes = pattern.as_bytes();
    let mut start = 0;
    while start < bytes.len() {
        match bytes[start] {
            b'\\' => start += 1,
            b'{' => {
                if let Some((end, commas)) = group_end(bytes, start) {
                    return Some((start, end, commas));
                }
            }
            _ => {}
        }
        start += 1;
    }
    None
}

fn group_end(bytes: &[u8], start: usize) -> Option<(usize, Vec<usize>)> {
    let mut depth = 0;
    let mut commas = Vec::new();
    let mut at = start;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'{' => depth += 1,
            b',' if depth == 1 => commas.push(at),
            b'}' if depth == 1 => return Some((at, commas)),
            b'}' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    None
}

/// A line up to its trailing spaces; one that a backslash precedes stays.
fn without_trailing_spaces(line: &[u8]) -> &[u8] {
    let mut end = 0;
    let mut at = 0;
    while at < line.len() {
        if line[at] == b'\\' {
            at += 1;
            end = (at + 1).min(line.len());
        } else if line[at] != b' ' {
            end = at + 1;
        }
        at += 1;
    }
    &line[..end]
}

/// What a pattern consists of; `None` if it fits nothing, as one that ends with a backslash.
fn tokens(pattern: &[u8]) -> Option<Vec<Token>> {
    let mut tokens = Vec::with_capacity(pattern.len());
    let mut at = 0;
    while at < pattern.len() {
        match pattern[at] {
            b'\\' => {
                at += 1;
                tokens.push(Token::Byte(*pattern.get(at)?));
            }
            b'?' => tokens.push(Token::One),
            b'[' => {
                let (set, end) = set(pattern, at)?;
                tokens.push(set);
                at = end;
            }
            b'*' => {
                let stars = pattern[at..].iter().take_while(|&&byte| byte == b'*').count();
                let whole_before = at == 0 || pattern[at - 1] == b'/';
                let rest = &pattern[at + stars..];
                at += stars - 1;
                match rest {
                    [b'/', ..] if stars > 1 && whole_before => {
                        tokens.extend([Token::Directories, Token::InDirectories]);
                        // Their slash.
                        at += 1;
                    }
                    [] | [b'\\', b'/', ..] if stars > 1 && whole_before => {
                        tokens.push(Token::Deep);
                    }
                    _ => tokens.push(Token::Star),
                }
            }
            byte => tokens.push(Token::Byte(byte)),
        }
        at += 1;
    }
    Some(tokens)
}

/// The set that starts at this bracket, and where its closing bracket stands.
fn set(pattern: &[u8], start: usize) -> Option<(Token, usize)> {
    let mut at = start + 1;
    let is_negated = matches!(pattern.get(at), Some(b'!' | b'^'));
    at += usize::from(is_negated);
    let first = at;
    let mut ranges: Vec<(u8, u8)> = Vec::new();
    // What a range may begin with: a single byte just before.
    let mut before: Option<u8> = None;
    loop {
        match *pattern.get(at)? {
            b']' if at > first => break,
            b'-' if before.is_some() && !matches!(pattern.get(at + 1)?, b']') => {
                at += 1;
                at += usize::from(pattern[at] == b'\\');
                let low = before.take().unwrap_or_default();
                ranges.push((low, *pattern.get(at)?));
            }
            b'[' if pattern.get(at + 1) == Some(&b':') => {
                let end = at + pattern[at..].iter().position(|&byte| byte == b']')?;
                if end > at + 2 && pattern[end - 1] == b':' {
                    ranges.extend_from_slice(class(&pattern[at + 2..end - 1])?);
                    at = end;
                    before = None;
                } else {
                    ranges.push((b'[', b'['));
                    before = Some(b'[');
                }
            }
            byte => {
                at += usize::from(byte == b'\\');
                let byte = *pattern.get(at)?;
                ranges.push((byte, byte));
                before = Some(byte);
            }
        }
        at += 1;
    }
    Some((Token::Set { is_negated, ranges }, at))
}

/// The bytes of a POSIX class, in the C locale.
fn class(name: &[u8]) -> Option<&'static [(u8, u8)]> {
    Some(match name {
        b"alnum" => &[(b'0', b'9'), (b'A', b'Z'), (b'a', b'z')],
        b"alpha" => &[(b'A', b'Z'), (b'a', b'z')],
        b"blank" => &[(b' ', b' '), (b'\t', b'\t')],
        b"cntrl" => &[(0, 0x1f), (0x7f, 0x7f)],
        b"digit" => &[(b'0', b'9')],
        b"graph" => &[(b'!', b'~')],
        b"lower" => &[(b'a', b'z')],
        b"print" => &[(b' ', b'~')],
        b"punct" => &[(b'!', b'/'), (b':', b'@'), (b'[', b'`'), (b'{', b'~')],
        b"space" => &[(b' ', b' '), (b'\t', b'\r')],
        b"upper" => &[(b'A', b'Z')],
        b"xdigit" => &[(b'0', b'9'), (b'A', b'F'), (b'a', b'f')],
        _ => return None,
    })
}

/// Whether the tokens fit the whole text: all ways at once, so that none is tried twice.
fn fits(tokens: &[Token], text: &[u8]) -> bool {
    // Most patterns are a name, or begin with the only star.
    let plain = tokens.iter().take_while(|token| matches!(token, Token::Byte(_))).count();
    if text.len() < plain || !equal(&tokens[..plain], &text[..plain]) {
        return false;
    }
    let (tokens, text) = (&tokens[plain..], &text[plain..]);
    match tokens {
        [] => return text.is_empty(),
        [Token::Star, rest @ ..] if rest.iter().all(|token| matches!(token, Token::Byte(_))) => {
            let Some(starred) = text.len().checked_sub(rest.len()) else { return false };
            return equal(rest, &text[starred..]) && !text[..starred].contains(&b'/');
        }
        _ => {}
    }
    // `ways[i]`: the text so far fits the tokens before `i`.
    let mut ways = vec![false; tokens.len() + 1];
    ways[0] = true;
    skip(tokens, &mut ways);
    let mut next = vec![false; tokens.len() + 1];
    for &byte in text {
        next.fill(false);
        for (index, token) in tokens.iter().enumerate().filter(|(index, _)| ways[*index]) {
            match token {
                Token::Star => next[index] |= byte != b'/',
                Token::Deep => next[index] = true,
                Token::Directories => {}
                Token::InDirectories => {
                    next[index] = true;
                    next[index + 1] |= byte == b'/';
                }
                single => next[index + 1] |= single.takes(byte),
            }
        }
        skip(tokens, &mut next);
        std::mem::swap(&mut ways, &mut next);
    }
    ways[tokens.len()]
}

/// Adds the ways that lead past tokens which may fit nothing.
fn skip(tokens: &[Token], ways: &mut [bool]) {
    for (index, token) in tokens.iter().enumerate() {
        if !ways[index] {
            continue;
        }
        match token {
            Token::Star | Token::Deep => ways[index + 1] = true,
            Token::Directories => {
                ways[index + 1] = true;
                ways[index + 2] = true;
            }
            Token::InDirectories | Token::Byte(_) | Token::One | Token::Set { .. } => {}
        }
    }
}

fn equal(tokens: &[Token], text: &[u8]) -> bool {
    tokens.len() == text.len() && tokens.iter().zip(text).all(|(token, &byte)| token.takes(byte))
}

impl Token {
    /// Whether a token for one byte fits this one.
    fn takes(&self, byte: u8) -> bool {
        match self {
            Token::Byte(wanted) => *wanted == byte,
            Token::One => byte != b'/',
            Token::Set { is_negated, ranges } => {
                let inside = ranges.iter().any(|&(low, high)| (low..=high).contains(&byte));
                byte != b'/' && inside != *is_negated
            }
            Token::Star | Token::Deep | Token::Directories | Token::InDirectories => false,
        }
    }
}

/// The fuzz body: rules up to a NUL, then a path. Fitting agrees with a slower way to find out.
pub fn fuzz(bytes: &[u8]) {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    let (rules, path) = (&bytes[..end], bytes.get(end + 1..).unwrap_or_default());
    let ignores = Ignores::parse(rules);
    for rule in &ignores.rules {
        let tokens = &rule.glob.tokens;
        // The slower way may take exponential time.
        if tokens.len() <= 12 && path.len() <= 24 {
            assert!(fits(tokens, path) == fits_slowly(tokens, path));
        }
    }
    let verdict = ignores.judge(path, false);
    if verdict.is_some() && ignores.rules.iter().all(|rule| !rule.is_of_directories) {
        assert!(ignores.judge(path, true) == verdict);
    }
    if let Ok(pattern) = str::from_utf8(rules) {
        let count = alternatives(pattern).map_or(1, |alternatives| alternatives.len());
        assert!(count > 0 && count <= GLOB_ALTERNATIVES_MAX);
    }
}

fn fits_slowly(tokens: &[Token], text: &[u8]) -> bool {
    let later = || (0..=text.len()).map(|from| (&text[..from], &text[from..]));
    match tokens {
        [] => text.is_empty(),
        [Token::Star, rest @ ..] => {
            later().any(|(taken, left)| !taken.contains(&b'/') && fits_slowly(rest, left))
        }
        [Token::Deep, rest @ ..] => later().any(|(_, left)| fits_slowly(rest, left)),
        [Token::Directories, rest @ ..] => {
            fits_slowly(&rest[1..], text)
                || later()
                    .any(|(taken, left)| taken.ends_with(b"/") && fits_slowly(&rest[1..], left))
        }
        [single, rest @ ..] => {
            text.first().is_some_and(|&byte| single.takes(byte)) && fits_slowly(rest, &text[1..])
        }
    }
}

#[cfg(test)]
mod tests;
