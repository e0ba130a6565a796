//! Sorting and mapping with one copy of the code.
//!
//! What std writes out anew for each type of element and each order is 4 KB of it, and a map that
//! is collected is sorted as well. Here indices are sorted, always by the same code, and elements
//! are taken in their order. Equal ones stay in theirs. For lists where an allocation or two and
//! a call for each comparison don't matter: all of ours.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::mem;

/// Sorts by a comparison.
pub fn by<T>(elements: &mut Vec<T>, compare: &mut dyn FnMut(&T, &T) -> Ordering) {
    let mut order: Vec<usize> = (0..elements.len()).collect();
    sort_indices(&mut order, &mut |left, right| compare(&elements[left], &elements[right]));
    let mut taken: Vec<Option<T>> = mem::take(elements).into_iter().map(Some).collect();
    elements.extend(order.into_iter().filter_map(|index| taken[index].take()));
}

/// Sorts by what is compared of each element.
pub fn by_key<T, K: Ord>(elements: &mut Vec<T>, key: impl Fn(&T) -> K) {
    by(elements, &mut |left, right| key(left).cmp(&key(right)));
}

/// A map of these pairs; of those with the same key the last counts.
pub fn map<K: Ord, V>(pairs: impl Iterator<Item = (K, V)>) -> BTreeMap<K, V> {
    let mut map = BTreeMap::new();
    for (key, value) in pairs {
        map.insert(key, value);
    }
    map
}

fn sort_indices(order: &mut [usize], compare: &mut dyn FnMut(usize, usize) -> Ordering) {
    order.sort_by(|left, right| compare(*left, *right));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_come_in_order_and_equal_ones_stay_in_theirs() {
        let mut pairs: Vec<(u8, String)> = (0..=255)
            .map(|number: u8| (number.wrapping_mul(37) % 16, number.to_string()))
            .collect();
        let mut expected = pairs.clone();
        expected.sort_by_key(|(key, _)| *key);
        by_key(&mut pairs, |(key, _)| *key);
        assert_eq!(pairs, expected);
        let mut none: Vec<String> = Vec::new();
        by(&mut none, &mut |left, right| left.cmp(right));
        assert_eq!(none, [""; 0]);
    }

    #[test]
    fn the_last_of_a_key_counts() {
        let made = map([("b", 1), ("a", 2), ("b", 3)].into_iter());
        assert_eq!(made.into_iter().collect::<Vec<_>>(), [("a", 2), ("b", 3)]);
    }
}
