//! Unified diffs of two texts.
//!
//! Lines are compared whole, newline included. The shortest script is found by Myers' greedy
//! algorithm as long as it costs little; beyond `DIFF_EDITS_MAX` or `DIFF_STEPS_MAX` everything
//! between the common beginning and the common end is told as replaced. Hunks only: file headers
//! belong to whoever knows the files.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;

use crate::limits::{DIFF_EDITS_MAX, DIFF_STEPS_MAX};

/// Lines `old` of the one text gave way to lines `new` of the other; one of them may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Change {
    old: Range<usize>,
    new: Range<usize>,
}

/// The hunks that lead from `old` to `new`, each with up to `around` unchanged lines on either
/// side.
///
/// Equal texts give an empty text. Every line of the result ends with a newline.
pub fn unified(old: &str, new: &str, around: usize) -> String {
    let old: Vec<&str> = old.split_inclusive('\n').collect();
    let new: Vec<&str> = new.split_inclusive('\n').collect();
    let changes = changes(&old, &new);
    let mut text = String::new();
    let mut rest = changes.as_slice();
    while let Some(first) = rest.first() {
        // Changes share a hunk while the unchanged lines between them would be shown anyway.
        let apart = |pair: &[Change]| pair[1].old.start - pair[0].old.end > around * 2;
        let count = 1 + rest.windows(2).position(apart).unwrap_or(rest.len() - 1);
        let (group, later) = rest.split_at(count);
        rest = later;
        let last = &group[group.len() - 1];
        let before = around.min(first.old.start);
        let after = around.min(old.len() - last.old.end);
        let old_range = first.old.start - before..last.old.end + after;
        let new_range = first.new.start - before..last.new.end + after;
        // Writing into a string cannot fail.
        let _ = writeln!(text, "@@ -{} +{} @@", span(&old_range), span(&new_range));
        let mut next = old_range.start;
        for change in group {
            push_lines(&mut text, ' ', &old[next..change.old.start]);
            push_lines(&mut text, '-', &old[change.old.clone()]);
            push_lines(&mut text, '+', &new[change.new.clone()]);
            next = change.old.end;
        }
        push_lines(&mut text, ' ', &old[next..old_range.end]);
    }
    text
}

fn push_lines(text: &mut String, mark: char, lines: &[&str]) {
    for line in lines {
        text.push(mark);
        text.push_str(line);
        if !line.ends_with('\n') {
            text.push_str("\n\\ No newline at end of file\n");
        }
    }
}

/// A range as hunk headers write it: one line is its number, none is the number of the line before.
fn span(lines: &Range<usize>) -> String {
    match lines.len() {
        0 => format!("{},0", lines.start),
        1 => format!("{}", lines.start + 1),
        count => format!("{},{count}", lines.start + 1),
    }
}

fn changes(old: &[&str], new: &[&str]) -> Vec<Change> {
    let head = old.iter().zip(new).take_while(|(left, right)| left == right).count();
    let (old_rest, new_rest) = (&old[head..], &new[head..]);
    let pairs = old_rest.iter().rev().zip(new_rest.iter().rev());
    let tail = pairs.take_while(|(left, right)| left == right).count();
    let old_middle = &old_rest[..old_rest.len() - tail];
    let new_middle = &new_rest[..new_rest.len() - tail];
    if old_middle.is_empty() && new_middle.is_empty() {
        return Vec::new();
    }
    let mut numbers = BTreeMap::new();
    let old_numbers = numbered(old_middle, &mut numbers);
    let new_numbers = numbered(new_middle, &mut numbers);
    let runs = Myers::new(&old_numbers, &new_numbers, DIFF_STEPS_MAX).runs().unwrap_or_default();
    between(&runs, old_numbers.len(), new_numbers.len(), head)
}

/// Equal lines as equal numbers, so that comparing them costs nothing.
fn numbered<'a>(lines: &[&'a str], numbers: &mut BTreeMap<&'a str, usize>) -> Vec<usize> {
    let mut number = |line: &&'a str| {
        let next = numbers.len();
        *numbers.entry(line).or_insert(next)
    };
    lines.iter().map(&mut number).collect()
}

/// What lies between runs of common lines, moved down by `head` lines.
fn between(runs: &[Run], old_count: usize, new_count: usize, head: usize) -> Vec<Change> {
    let mut changes = Vec::new();
    let (mut old, mut new) = (0, 0);
    let end = Run { old: old_count, new: new_count, count: 0 };
    for run in runs.iter().chain([&end]) {
        if run.old > old || run.new > new {
            changes
                .push(Change { old: head + old..head + run.old, new: head + new..head + run.new });
        }
        (old, new) = (run.old + run.count, run.new + run.count);
    }
    changes
}

/// `count` lines that both texts have, from line `old` of the one and line `new` of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    old: usize,
    new: usize,
    count: usize,
}

/// The greedy search: `reached[d][k]` is how far diagonal `2k - d` gets with `d` edits.
///
/// Diagonal `i - j` joins line `i` of the old text to line `j` of the new one.
struct Myers<'a> {
    old: &'a [usize],
    new: &'a [usize],
    reached: Vec<Vec<u32>>,
    /// Comparisons that may still be made.
    budget: usize,
}

impl<'a> Myers<'a> {
    fn new(old: &'a [usize], new: &'a [usize], budget: usize) -> Self {
        Self { old, new, reached: Vec::new(), budget }
    }

    /// The common lines of a shortest script in order, or `None` if it costs too much to find.
    fn runs(mut self) -> Option<Vec<Run>> {
        let (old_count, new_count) = (self.old.len(), self.new.len());
        if u32::try_from(old_count.max(new_count)).is_err() {
            return None;
        }
        for edits in 0..=DIFF_EDITS_MAX.min(old_count + new_count) {
            let mut row = vec![0; edits + 1];
            let mut done = false;
            for (slot, reached) in row.iter_mut().enumerate() {
                let start = self.start(edits, slot);
                // Beyond either text's end nothing matches, so such a path just waits.
                let (old, new) = (start, (start + edits).checked_sub(slot * 2));
                let count = new.map_or(Some(0), |new| self.common(old, new))?;
                *reached = u32::try_from(old + count).ok()?;
                done = done
                    || (old + count == old_count && new.map(|new| new + count) == Some(new_count));
            }
            self.reached.push(row);
            if done {
                return Some(self.walk_back());
            }
        }
        None
    }

    /// Where the path of `edits` edits to a diagonal stands before it follows common lines.
    fn start(&self, edits: usize, slot: usize) -> usize {
        let Some(row) = edits.checked_sub(1).map(|last| &self.reached[last]) else { return 0 };
        let removed = slot.checked_sub(1).map(|slot| row[slot] as usize + 1);
        let inserted = row.get(slot).map(|&old| old as usize);
        removed.into_iter().chain(inserted).max().unwrap_or(0)
    }

    /// How many lines agree from here on, or `None` if the budget is spent.
    fn common(&mut self, old: usize, new: usize) -> Option<usize> {
        let (Some(left), Some(right)) = (self.old.get(old..), self.new.get(new..)) else {
            return Some(0);
        };
        let count = left.iter().zip(right).take_while(|(left, right)| left == right).count();
        self.budget = self.budget.checked_sub(count + 1)?;
        Some(count)
    }

    fn walk_back(&self) -> Vec<Run> {
        let mut runs = Vec::new();
        let mut edits = self.reached.len() - 1;
        let mut slot = (self.old.len() + edits - self.new.len()) / 2;
        loop {
            let start = self.start(edits, slot);
            let count = self.reached[edits][slot] as usize - start;
            if count > 0 {
                runs.push(Run { old: start, new: start + edits - slot * 2, count });
            }
            if edits == 0 {
                break;
            }
            let row = &self.reached[edits - 1];
            // `start` took the farther of the two ways here; take the same way back.
            if slot > 0 && row[slot - 1] as usize + 1 == start {
                slot -= 1;
            }
            edits -= 1;
        }
        runs.reverse();
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::{Myers, unified};
    use crate::limits::DIFF_EDITS_MAX;

    #[track_caller]
    fn check(old: &str, new: &str, around: usize, expected: &str) {
        assert_eq!(unified(old, new, around), expected);
        assert_eq!(applied(old, expected), new);
    }

    /// Applies a diff by its own line numbers: a second reading of the format.
    fn applied(old: &str, diff: &str) -> String {
        let old: Vec<&str> = old.split_inclusive('\n').collect();
        let mut text = String::new();
        let mut next = 0;
        let mut lines = diff.split_inclusive('\n').peekable();
        while let Some(line) = lines.next() {
            let (mark, body) = line.split_at(1);
            let bare = lines.peek().is_some_and(|line| line.starts_with('\\'));
            let body = if bare { body.trim_end_matches('\n') } else { body };
            match mark {
                "@" => {
                    let span = body.split(' ').nth(1).unwrap();
                    let (start, count) = span[1..].split_once(',').unwrap_or((&span[1..], "1"));
                    let start: usize = start.parse().unwrap();
                    let start = if count == "0" { start } else { start - 1 };
                    text.push_str(&old[next..start].concat());
                    next = start;
                }
                " " | "-" => {
                    assert_eq!(old[next], body);
                    next += 1;
                    text.push_str(if mark == " " { body } else { "" });
                }
                "+" => text.push_str(body),
                "\\" => {}
                other => panic!("{other}"),
            }
        }
        text.push_str(&old[next..].concat());
        text
    }

    #[test]
    fn equal_texts_have_no_hunks() {
        check("", "", 3, "");
        check("a\nb", "a\nb", 3, "");
    }

    #[test]
    fn a_changed_line_has_its_surroundings() {
        check("a\nb\nc\nd\n", "a\nB\nc\nd\n", 1, "@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n");
        check("a\nb\nc\n", "a\nB\nc\n", 0, "@@ -2 +2 @@\n-b\n+B\n");
        check("a\nb\nc\nd\n", "a\nB\nc\nd\n", 9, "@@ -1,4 +1,4 @@\n a\n-b\n+B\n c\n d\n");
    }

    #[test]
    fn empty_sides_name_the_line_before() {
        check("", "a\nb\n", 1, "@@ -0,0 +1,2 @@\n+a\n+b\n");
        check("a\n", "", 1, "@@ -1 +0,0 @@\n-a\n");
        check("a\nb\n", "a\nx\nb\n", 0, "@@ -1,0 +2 @@\n+x\n");
        check("a\nx\nb\n", "a\nb\n", 0, "@@ -2 +1,0 @@\n-x\n");
    }

    #[test]
    fn a_missing_last_newline_is_told() {
        let mark = "\\ No newline at end of file";
        check("a\nb", "a\nb\n", 1, &format!("@@ -1,2 +1,2 @@\n a\n-b\n{mark}\n+b\n"));
        check("a\n", "a", 1, &format!("@@ -1 +1 @@\n-a\n+a\n{mark}\n"));
        check("a\nb", "A\nb", 1, &format!("@@ -1,2 +1,2 @@\n-a\n+A\n b\n{mark}\n"));
        check("a", "b", 1, &format!("@@ -1 +1 @@\n-a\n{mark}\n+b\n{mark}\n"));
    }

    #[test]
    fn near_changes_share_a_hunk_and_far_ones_do_not() {
        let old = "1\n2\n3\n4\n5\n6\n";
        check(old, "x\n2\n3\ny\n5\n6\n", 1, "@@ -1,5 +1,5 @@\n-1\n+x\n 2\n 3\n-4\n+y\n 5\n");
        check(
            old,
            "x\n2\n3\n4\ny\n6\n",
            1,
            "@@ -1,2 +1,2 @@\n-1\n+x\n 2\n@@ -4,3 +4,3 @@\n 4\n-5\n+y\n 6\n",
        );
    }

    #[test]
    fn the_script_is_a_shortest_one() {
        let (old, new) = ("a\nb\nc\na\nb\nb\na\n", "c\nb\na\nb\na\nc\n");
        let diff = unified(old, new, 0);
        let edits = diff.lines().filter(|line| line.starts_with(['+', '-'])).count();
        assert_eq!(edits, 5);
        assert_eq!(applied(old, &diff), new);
    }

    #[test]
    fn random_texts_are_led_to_each_other_without_waste() {
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = |below: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % below
        };
        for _ in 0..500 {
            let mut text = |letters: u64| -> String {
                let lines = (0..random(14)).map(|_| format!("{}\n", random(letters))).collect();
                let bare = random(4) == 0;
                let lines: String = lines;
                if bare { lines.trim_end().to_owned() } else { lines }
            };
            let (old, new) = (text(4), text(4));
            for around in 0..3 {
                let diff = unified(&old, &new, around);
                assert_eq!(applied(&old, &diff), new, "{old:?} {new:?}");
                let edits = diff.lines().filter(|line| line.starts_with(['+', '-'])).count();
                assert_eq!(edits, distance(&old, &new), "{old:?} {new:?} {diff}");
            }
        }
    }

    /// Removed plus inserted lines of a shortest script, by the table.
    fn distance(old: &str, new: &str) -> usize {
        let old: Vec<&str> = old.split_inclusive('\n').collect();
        let new: Vec<&str> = new.split_inclusive('\n').collect();
        let mut row: Vec<usize> = (0..=new.len()).collect();
        for (i, left) in old.iter().enumerate() {
            let mut next = vec![i + 1];
            for (j, right) in new.iter().enumerate() {
                let best = if left == right { row[j] } else { 1 + row[j + 1].min(next[j]) };
                next.push(best);
            }
            row = next;
        }
        row[new.len()]
    }

    #[test]
    fn a_script_beyond_the_bound_replaces_the_middle() {
        let old: String = (0..DIFF_EDITS_MAX).map(|line| format!("{line}\nsame\n")).collect();
        let new = old.lines().fold(String::new(), |text, line| {
            text + if line == "same" { "same\n" } else { "other\n" }
        });
        let (old, new) = (format!("head\n{old}tail\n"), format!("head\n{new}tail\n"));
        let diff = unified(&old, &new, 1);
        assert_eq!(diff.matches("@@ -").count(), 1);
        assert_eq!(applied(&old, &diff), new);
    }

    #[test]
    fn a_costly_comparison_stops() {
        let (old, new) = ([1, 2, 3, 4, 5, 6], [2, 3, 4, 5, 6, 7]);
        assert!(Myers::new(&old, &new, 100).runs().is_some());
        assert_eq!(Myers::new(&old, &new, 4).runs(), None);
    }
}
