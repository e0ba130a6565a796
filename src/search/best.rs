//! The few best of many: bounded, in order, without a copy of what does not make it.

/// What fits best so far, by score from the highest, then by path.
#[derive(Debug)]
pub struct Best<T> {
    count_max: usize,
    /// Invariant: in order, and `found.len() <= count_max`.
    found: Vec<Found<T>>,
}

/// One of the best.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found<T> {
    pub score: u32,
    pub path: Box<str>,
    pub what: T,
}

impl<T> Best<T> {
    /// Keeps at most this many.
    pub fn new(count_max: usize) -> Best<T> {
        Best { count_max, found: Vec::with_capacity(count_max) }
    }

    /// Takes in a path if it is among the best so far; of equals, those that came first stay.
    pub fn push(&mut self, score: u32, path: &str, what: impl FnOnce() -> T) {
        let is_before = |found: &Found<T>| {
            found.score > score || (found.score == score && *found.path <= *path)
        };
        let place = self.found.partition_point(is_before);
        if place >= self.count_max {
            return;
        }
        self.found.truncate(self.count_max - 1);
        self.found.insert(place, Found { score, path: path.into(), what: what() });
    }

    /// All of them, the best first.
    pub fn into_found(self) -> Vec<Found<T>> {
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(count_max: usize, pushed: &[(u32, &str)]) -> Vec<(u32, String)> {
        let mut best = Best::new(count_max);
        for (score, path) in pushed {
            best.push(*score, path, || ());
        }
        best.into_found().into_iter().map(|found| (found.score, found.path.into())).collect()
    }

    #[test]
    fn the_order_is_by_score_and_then_by_path() {
        let found = kept(9, &[(1, "c"), (5, "b"), (5, "a"), (9, "z")]);
        let found: Vec<&str> = found.iter().map(|(_, path)| &**path).collect();
        assert_eq!(found, ["z", "a", "b", "c"]);
    }

    #[test]
    fn no_more_are_kept_than_asked_for() {
        assert_eq!(kept(2, &[(1, "a"), (3, "b"), (2, "c")]), [(3, "b".into()), (2, "c".into())]);
        assert_eq!(kept(1, &[(1, "b"), (1, "a"), (1, "c")]), [(1, "a".into())]);
        assert_eq!(kept(0, &[(1, "b")]), []);
    }

    #[test]
    fn nothing_is_made_for_what_is_not_kept() {
        let mut best = Best::new(1);
        best.push(2, "a", || ());
        best.push(1, "b", || unreachable!("it is not among the best"));
        assert_eq!(best.into_found().len(), 1);
    }
}
