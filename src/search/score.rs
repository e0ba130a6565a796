//! How well a path fits what was typed: letters in order, with others between them.
//!
//! Each word of a query has to be found in the path, letter by letter. Letters count more where
//! people look: at the start of a name, of a word or of a hump in camelCase, next to each other,
//! and in the file's own name; gaps between them cost. Of all ways to place the letters the best
//! one counts. A capital in the query makes its case matter. Takes time in proportion to query and
//! path.

use crate::limits::{FUZZY_PATH_CHARS_MAX, FUZZY_QUERY_CHARS_MAX};

/// A letter that is found.
const FOUND: i32 = 16;
/// It comes right after the one before it; what it begins counts if that is more.
const ADJACENT: i32 = 8;
/// It begins a part of the path, a word, or a hump.
const STARTS_PART: i32 = 10;
const STARTS_WORD: i32 = 8;
const STARTS_HUMP: i32 = 7;
/// The last letter of a word in the query ends a word of the path.
const ENDS_WORD: i32 = 3;
/// It is in the last part of the path.
const IN_NAME: i32 = 4;
/// The first letter of a word says most about where people look.
const FIRST_WEIGHS: i32 = 2;
/// The first letter that is passed over, and each further one.
const GAP_OPENS: i32 = -6;
const GAP_GROWS: i32 = -1;

/// Less than any score, and far from overflowing.
const NEVER: i32 = i32::MIN / 2;

/// What was typed.
#[derive(Debug)]
pub struct Query {
    words: Vec<Vec<char>>,
    is_cased: bool,
    /// Of the path that is looked at: its letters, as they are compared, and what each is worth.
    letters: Vec<char>,
    worths: Vec<Worth>,
    row: Vec<Way>,
}

/// What a letter of a path is worth, besides being found.
#[derive(Clone, Copy, Debug)]
struct Worth {
    /// For what it begins.
    starts: i32,
    /// For being in the last part of the path.
    in_name: i32,
    /// For ending a word, if the query's word ends here.
    ends: i32,
}

/// The best ways to place some letters of a word, as of one letter of the path.
#[derive(Clone, Copy, Debug)]
struct Way {
    /// With the last of them exactly here.
    here: i32,
    /// With the last of them before, and where that was.
    before: i32,
    origin: u32,
}

const NO_WAY: Way = Way { here: NEVER, before: NEVER, origin: 0 };

impl Query {
    /// `None` if there is nothing to look for. What is too long is cut: nobody types so much.
    pub fn new(text: &str) -> Option<Query> {
        let text: String = text.chars().take(FUZZY_QUERY_CHARS_MAX).collect();
        let is_cased = text.chars().any(char::is_uppercase);
        let letters = |word: &str| word.chars().map(|letter| folded(letter, is_cased)).collect();
        let words: Vec<Vec<char>> = text.split_whitespace().map(letters).collect();
        let (letters, worths, row) = (Vec::new(), Vec::new(), Vec::new());
        (!words.is_empty()).then_some(Query { words, is_cased, letters, worths, row })
    }

    /// How well a path fits; `None` if it does not.
    pub fn score(&mut self, path: &str) -> Option<u32> {
        if !self.can_fit(path) {
            return None;
        }
        self.take_in(path);
        let mut total = 0_i32;
        for index in 0..self.words.len() {
            total += self.place(index, None)?.0;
        }
        // The worst way still found every letter.
        Some(u32::try_from(total).unwrap_or(0))
    }

    /// Which letters of a path were found: their places, counted in characters, each once and in
    /// order. Empty if it does not fit.
    pub fn indices(&mut self, path: &str) -> Vec<u32> {
        self.take_in(path);
        let mut indices = Vec::new();
        let mut origins = Vec::new();
        for index in 0..self.words.len() {
            origins.clear();
            let Some((_, mut at)) = self.place(index, Some(&mut origins)) else {
                return Vec::new();
            };
            indices.push(at);
            for letter in (1..self.words[index].len()).rev() {
                at = origins[letter * self.letters.len() + at as usize];
                indices.push(at);
            }
        }
        indices.sort_unstable();
        indices.dedup();
        indices
    }

    /// Whether the letters of each word come in order at all.
    fn can_fit(&self, path: &str) -> bool {
        self.words.iter().all(|word| {
            let mut letters = path.chars().take(FUZZY_PATH_CHARS_MAX);
            word.iter().all(|wanted| letters.any(|it| folded(it, self.is_cased) == *wanted))
        })
    }

    fn take_in(&mut self, path: &str) {
        self.letters.clear();
        self.worths.clear();
        let name_at = path.rfind('/').map_or(0, |slash| slash + 1);
        let mut before = '/';
        for (at, letter) in path.char_indices().take(FUZZY_PATH_CHARS_MAX) {
            let in_name = if at >= name_at { IN_NAME } else { 0 };
            if !letter.is_alphanumeric()
                && let Some(last) = self.worths.last_mut()
            {
                last.ends = ENDS_WORD;
            }
            self.worths.push(Worth { starts: starts(before, letter), in_name, ends: 0 });
            self.letters.push(folded(letter, self.is_cased));
            before = letter;
        }
        if let Some(last) = self.worths.last_mut() {
            last.ends = ENDS_WORD;
        }
    }

    /// The best way to place a word: its score, and where its last letter is. For each letter of
    /// the word and of the path, `origins` gets where the letter before is if this one is here.
    fn place(&mut self, index: usize, mut origins: Option<&mut Vec<u32>>) -> Option<(i32, u32)> {
        let word = &self.words[index];
        self.row.clear();
        self.row.resize(self.letters.len(), NO_WAY);
        for (nth, wanted) in word.iter().enumerate() {
            // Of the letter of the word before: at the letter of the path before.
            let mut left = NO_WAY;
            // Of this letter, likewise.
            let mut own = NO_WAY;
            for (at, letter) in self.letters.iter().enumerate() {
                let mut way = NO_WAY;
                let mut origin = 0;
                if letter == wanted {
                    let Worth { starts, in_name, ends } = self.worths[at];
                    let worth = FOUND + in_name + if nth + 1 == word.len() { ends } else { 0 };
                    let (adjacent, apart) =
                        (left.here + starts.max(ADJACENT), left.before + starts);
                    if nth == 0 {
                        way.here = worth + (starts + in_name) * FIRST_WEIGHS - in_name;
                    } else if left.here > NEVER && adjacent >= apart {
                        (way.here, origin) = (adjacent + worth, at as u32 - 1);
                    } else if left.before > NEVER {
                        (way.here, origin) = (apart + worth, left.origin);
                    }
                }
                let (opens, grows) = (own.here + GAP_OPENS, own.before + GAP_GROWS);
                if own.here > NEVER && opens >= grows {
                    (way.before, way.origin) = (opens, at as u32 - 1);
                } else if own.before > NEVER {
                    (way.before, way.origin) = (grows, own.origin);
                }
                if let Some(origins) = &mut origins {
                    origins.push(origin);
                }
                left = std::mem::replace(&mut self.row[at], way);
                own = way;
            }
        }
        let ways = self.row.iter().enumerate().filter(|(_, way)| way.here > NEVER);
        // Of equals the first.
        let best = ways.rev().max_by_key(|(_, way)| way.here);
        best.map(|(at, way)| (way.here, at as u32))
    }
}

/// A letter as it is compared.
fn folded(letter: char, is_cased: bool) -> char {
    if is_cased || letter.is_ascii_lowercase() {
        return letter;
    }
    if letter.is_ascii() {
        return letter.to_ascii_lowercase();
    }
    letter.to_lowercase().next().unwrap_or(letter)
}

/// What a letter is worth for what it begins.
fn starts(before: char, letter: char) -> i32 {
    if before == '/' {
        STARTS_PART
    } else if !before.is_alphanumeric() && letter.is_alphanumeric() {
        STARTS_WORD
    } else if (before.is_lowercase() && letter.is_uppercase())
        || (!before.is_numeric() && letter.is_numeric())
    {
        STARTS_HUMP
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(query: &str, path: &str) -> Option<u32> {
        Query::new(query).unwrap().score(path)
    }

    #[track_caller]
    fn check(query: &str, path: &str, indices: &[u32]) {
        let mut query = Query::new(query).unwrap();
        assert!(query.score(path).is_some());
        assert_eq!(query.indices(path), indices);
    }

    /// The paths fit, each better than the next.
    #[track_caller]
    fn ranks(query: &str, paths: &[&str]) {
        let scores: Vec<u32> = paths.iter().map(|path| score(query, path).unwrap()).collect();
        assert!(scores.is_sorted_by(|left, right| left > right), "{query}: {scores:?}");
    }

    #[test]
    fn letters_come_in_order() {
        assert!(score("abc", "xaxbxcx").is_some());
        assert_eq!(score("acb", "xaxbxcx"), None);
        assert_eq!(score("abcc", "abc"), None);
        assert_eq!(score("a", ""), None);
    }

    #[test]
    fn a_capital_makes_case_matter() {
        assert!(score("readme", "README.md").is_some());
        assert!(score("README", "README.md").is_some());
        assert_eq!(score("Readme", "README.md"), None);
        assert!(score("über", "ÜBER").is_some());
        assert_eq!(score("Über", "über"), None);
    }

    #[test]
    fn every_word_is_found_in_any_order() {
        check("host git", "src/host/git.rs", &[4, 5, 6, 7, 9, 10, 11]);
        check("git host", "src/host/git.rs", &[4, 5, 6, 7, 9, 10, 11]);
        check("it git", "git", &[0, 1, 2]);
        assert_eq!(score("host xyz", "src/host/git.rs"), None);
        assert!(Query::new("").is_none() && Query::new(" \t").is_none());
    }

    #[test]
    fn the_best_place_is_found_not_the_first() {
        check("main", "domain/main.rs", &[7, 8, 9, 10]);
        check("fb", "foo/fxb/foo_bar.rs", &[8, 12]);
        check("gu", "get/getUser.ts", &[4, 7]);
        check("ö", "aé/ö", &[3]);
    }

    #[test]
    fn better_fits_score_higher() {
        // The file's own name, whole words, starts of words, nearness, in this order of weight.
        ranks("main", &["src/main.rs", "main/src.rs", "domain/src.rs", "mxaxixn/src.rs"]);
        ranks("fb", &["foo_bar.rs", "xfxxb.rs"]);
        ranks("gu", &["getUser.ts", "getxuser.ts"]);
        ranks("abc", &["abc", "a_bc", "axbxc"]);
        ranks("libc", &["libc.so", "libcs.so"]);
    }

    #[test]
    fn no_way_is_missed() {
        // Against all ways to place the letters, tried one by one.
        fn all(query: &mut Query, nth: usize, from: usize, last: Option<usize>) -> i32 {
            let word = query.words[0].clone();
            if nth == word.len() {
                return 0;
            }
            let mut best = NEVER;
            for at in from..query.letters.len() {
                if query.letters[at] != word[nth] {
                    continue;
                }
                let Worth { starts, in_name, ends } = query.worths[at];
                let own = match last {
                    None => (starts + in_name) * FIRST_WEIGHS,
                    Some(last) if at == last + 1 => starts.max(ADJACENT) + in_name,
                    Some(last) => starts + in_name + GAP_OPENS + GAP_GROWS * (at - last - 2) as i32,
                };
                let own = own + FOUND + if nth + 1 == word.len() { ends } else { 0 };
                best = best.max(own + all(query, nth + 1, at + 1, Some(at)));
            }
            best
        }
        for path in ["abab/aabb_abAb", "a/b/a/b/ab", "bbbaaabbb", "aabbaabb/ba_ba"] {
            for word in ["a", "ab", "aba", "bab", "abab", "aabb"] {
                let mut query = Query::new(word).unwrap();
                let score = query.score(path).map(|score| score as i32);
                query.take_in(path);
                let expected = all(&mut query, 0, 0, None);
                assert_eq!(score, (expected > 0).then_some(expected), "{word} in {path}");
                let indices = query.indices(path);
                let found = indices.iter().map(|&at| query.letters[at as usize]);
                let is_placed = indices.is_empty() || found.collect::<String>() == word;
                assert!(is_placed, "{word} in {path}");
            }
        }
    }

    #[test]
    fn what_is_too_long_is_cut() {
        let long = "a".repeat(FUZZY_QUERY_CHARS_MAX + 1);
        assert!(score(&long, &"a".repeat(FUZZY_QUERY_CHARS_MAX)).is_some());
        let path = format!("{}b", "a".repeat(FUZZY_PATH_CHARS_MAX));
        assert_eq!(score("b", &path), None);
        assert!(score("a", &path).is_some());
    }

    #[test]
    fn the_worst_fit_still_scores() {
        let path = format!("a{}b", "x".repeat(FUZZY_PATH_CHARS_MAX - 2));
        assert_eq!(score("ab", &path), Some(0));
        assert_eq!(Query::new("ab").unwrap().indices(&path).len(), 2);
    }
}
