//! Finds where a run of lines stands in a file.
//!
//! Four passes, each over the whole range, the first hit wins: exact; without trailing white space;
//! without white space at either end; with typographic characters as their plain ones. A pass is
//! linear (Knuth, Morris, Pratt), and all searches of one file share a budget of compared bytes, so
//! that no patch can make them run for long.

use crate::limits::PATCH_SEEK_BYTES_MAX;

/// How closely two lines must agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    Exact,
    TrimmedEnd,
    Trimmed,
    Plain,
}

const PASSES: [Pass; 4] = [Pass::Exact, Pass::TrimmedEnd, Pass::Trimmed, Pass::Plain];

/// The budget of compared bytes is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted;

/// Searches in the lines of one file.
#[derive(Debug)]
pub struct Searcher<'a> {
    lines: &'a [&'a str],
    /// Bytes that may still be compared.
    budget: usize,
}

impl<'a> Searcher<'a> {
    pub fn new(lines: &'a [&'a str]) -> Self {
        Self::with_budget(lines, PATCH_SEEK_BYTES_MAX)
    }

    fn with_budget(lines: &'a [&'a str], budget: usize) -> Self {
        Self { lines, budget }
    }

    /// The first index at or after `from` where `wanted` stands; the file's end goes first if
    /// `end_from` allows it, also before `from`.
    ///
    /// `wanted` must not be empty.
    pub fn seek(
        &mut self,
        wanted: &[&str],
        from: usize,
        end_from: Option<usize>,
    ) -> Result<Option<usize>, Exhausted> {
        assert!(!wanted.is_empty(), "the caller inserts at the end instead");
        let Some(last) = self.lines.len().checked_sub(wanted.len()) else { return Ok(None) };
        if end_from.is_some_and(|end_from| last >= end_from) {
            for pass in PASSES {
                if self.find(wanted, last, pass)?.is_some() {
                    return Ok(Some(last));
                }
            }
        }
        if last < from {
            return Ok(None);
        }
        for pass in PASSES {
            if let Some(index) = self.find(wanted, from, pass)? {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    fn find(
        &mut self,
        wanted: &[&str],
        from: usize,
        pass: Pass,
    ) -> Result<Option<usize>, Exhausted> {
        // `borders[n]`: length of the longest proper border of the first `n + 1` wanted lines.
        let mut borders = vec![0; wanted.len()];
        let mut matched = 0;
        for index in 1..wanted.len() {
            while matched > 0 && !self.agree(wanted[index], wanted[matched], pass)? {
                matched = borders[matched - 1];
            }
            if self.agree(wanted[index], wanted[matched], pass)? {
                matched += 1;
            }
            borders[index] = matched;
        }
        matched = 0;
        for index in from..self.lines.len() {
            let line = self.lines[index];
            while matched > 0 && !self.agree(line, wanted[matched], pass)? {
                matched = borders[matched - 1];
            }
            if self.agree(line, wanted[matched], pass)? {
                matched += 1;
            }
            if matched == wanted.len() {
                return Ok(Some(index + 1 - matched));
            }
        }
        Ok(None)
    }

    fn agree(&mut self, left: &str, right: &str, pass: Pass) -> Result<bool, Exhausted> {
        let cost = match pass {
            Pass::Exact if left.len() != right.len() => 1,
            Pass::Exact => 1 + left.len(),
            Pass::TrimmedEnd | Pass::Trimmed | Pass::Plain => 1 + left.len() + right.len(),
        };
        self.budget = self.budget.checked_sub(cost).ok_or(Exhausted)?;
        Ok(match pass {
            Pass::Exact => left == right,
            Pass::TrimmedEnd => left.trim_end() == right.trim_end(),
            Pass::Trimmed => left.trim() == right.trim(),
            Pass::Plain => left.trim().chars().map(plain).eq(right.trim().chars().map(plain)),
        })
    }
}

/// Typographic dashes, quotes and spaces as what a keyboard has.
fn plain(character: char) -> char {
    match character {
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        '\u{2018}'..='\u{201b}' => '\'',
        '\u{201c}'..='\u{201f}' => '"',
        '\u{a0}' | '\u{2002}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => ' ',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::{Exhausted, Searcher, plain};

    #[track_caller]
    fn check(file: &[&str], wanted: &[&str], from: usize, at_end: bool, expected: Option<usize>) {
        let end_from = at_end.then_some(from);
        assert_eq!(Searcher::new(file).seek(wanted, from, end_from), Ok(expected));
    }

    #[test]
    fn an_exact_hit_later_beats_a_loose_hit_earlier() {
        check(&["a ", "b", "a"], &["a"], 0, false, Some(2));
        check(&[" a", "a ", "b"], &["a"], 0, false, Some(1));
        check(&["\u{2014}", " -"], &["-"], 0, false, Some(1));
    }

    #[test]
    fn passes_loosen_one_after_the_other() {
        check(&["x", "a  \t"], &["a"], 0, false, Some(1));
        check(&["x", "    a"], &["a"], 0, false, Some(1));
        check(&["x", "a \u{2013} \u{201c}b\u{201d}\u{a0}c"], &["a - \"b\" c"], 0, false, Some(1));
        check(&["it\u{2019}s"], &["it's"], 0, false, Some(0));
        check(&["x", "A"], &["a"], 0, false, None);
    }

    #[test]
    fn overlapping_starts_are_found() {
        check(&["a", "a", "b", "a", "a", "a", "c"], &["a", "a", "c"], 0, false, Some(4));
        check(&["a", "b", "a", "b", "c"], &["a", "b", "c"], 0, false, Some(2));
    }

    #[test]
    fn the_range_starts_at_the_cursor() {
        check(&["a", "b", "a"], &["a"], 1, false, Some(2));
        check(&["a", "b"], &["a"], 1, false, None);
        check(&["a"], &["a"], 5, false, None);
        check(&["a"], &["a", "b"], 0, false, None);
        check(&[], &["a"], 0, true, None);
    }

    #[test]
    fn the_end_goes_first_when_asked_even_loosely() {
        check(&["a", "b", "a "], &["a"], 0, false, Some(0));
        check(&["a", "b", "a "], &["a"], 0, true, Some(2));
        check(&["a", "b"], &["a"], 0, true, Some(0));
    }

    #[test]
    fn a_search_beyond_its_budget_stops() {
        let file = vec!["same"; 1000];
        let mut searcher = Searcher::with_budget(&file, 500);
        assert_eq!(searcher.seek(&["same", "same", "other"], 0, None), Err(Exhausted));
    }

    #[test]
    fn a_hostile_repetition_costs_linear_work() {
        let file = vec!["a"; 100_000];
        let mut wanted = vec!["a"; 50_000];
        wanted.push("b");
        check(&file, &wanted, 0, true, None);
    }

    #[test]
    fn what_only_looks_alike_does_not_match() {
        for (file, wanted) in [
            ("5\u{2032}", "5'"),
            ("5\u{2033}", "5\""),
            ("\u{fe63}", "-"),
            ("x\u{2000}y", "x y"),
            ("x\u{1680}y", "x y"),
            ("\u{2026}", "..."),
            ("x\u{200b}y", "xy"),
        ] {
            check(&[file], &[wanted], 0, false, None);
        }
    }

    #[test]
    fn every_mapped_character_becomes_ascii() {
        for character in
            "\u{2010}\u{2011}\u{2212}\u{2018}\u{201b}\u{201c}\u{201f}\u{a0}\u{3000}".chars()
        {
            assert!(plain(character).is_ascii(), "{character:?}");
        }
    }
}
