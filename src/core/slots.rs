//! A table of bounded size whose places are used again and whose ids are not.

/// Places for up to a fixed number of values.
#[derive(Debug)]
pub struct Slots<T> {
    places: Vec<Place<T>>,
    count_max: usize,
}

#[derive(Debug)]
struct Place<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Slots<T> {
    /// An empty table that will hold at most `count_max` values.
    pub fn new(count_max: usize) -> Slots<T> {
        assert!(count_max <= usize::from(u16::MAX), "a slot is a u16");
        Slots { places: Vec::new(), count_max }
    }

    /// Puts the value that `make` builds from its own slot and generation; `None` if the table is
    /// full.
    pub fn put(&mut self, make: impl FnOnce(u16, u32) -> T) -> Option<(u16, u32)> {
        let free = self.places.iter().position(|place| place.value.is_none());
        let index = match free {
            Some(index) => index,
            None if self.places.len() < self.count_max => {
                self.places.push(Place { generation: 0, value: None });
                self.places.len() - 1
            }
            None => return None,
        };
        let slot = index as u16;
        let place = &mut self.places[index];
        place.value = Some(make(slot, place.generation));
        Some((slot, place.generation))
    }

    pub fn of(&self, slot: u16, generation: u32) -> Option<&T> {
        let place = self.places.get(usize::from(slot))?;
        if place.generation == generation { place.value.as_ref() } else { None }
    }

    pub fn of_mut(&mut self, slot: u16, generation: u32) -> Option<&mut T> {
        let place = self.places.get_mut(usize::from(slot))?;
        if place.generation == generation { place.value.as_mut() } else { None }
    }

    /// Takes the value out; its id means nothing from now on.
    pub fn take(&mut self, slot: u16, generation: u32) -> Option<T> {
        let place = self.places.get_mut(usize::from(slot))?;
        if place.generation != generation {
            return None;
        }
        let value = place.value.take()?;
        place.generation = place.generation.wrapping_add(1);
        Some(value)
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.places.iter().filter_map(|place| place.value.as_ref())
    }

    /// Ids of everything in the table, in slot order.
    pub fn ids(&self) -> impl Iterator<Item = (u16, u32)> + '_ {
        self.places.iter().enumerate().filter_map(|(slot, place)| {
            place.value.as_ref().map(|_| (slot as u16, place.generation))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_outlives_its_value_means_nothing() {
        let mut slots = Slots::new(2);
        let (slot, generation) = slots.put(|_, _| 'a').unwrap();
        assert_eq!(slots.take(slot, generation), Some('a'));
        let (again, later) = slots.put(|_, _| 'b').unwrap();
        assert_eq!(again, slot);
        assert_ne!(later, generation);
        assert_eq!(slots.of(slot, generation), None);
        assert_eq!(slots.take(slot, generation), None);
        assert_eq!(slots.of(slot, later), Some(&'b'));
    }

    #[test]
    fn a_full_table_takes_no_more() {
        let mut slots = Slots::new(1);
        assert!(slots.put(|_, _| ()).is_some());
        assert_eq!(slots.put(|_, _| ()), None);
    }
}
