//! Which images that are kept outside of memory are still somebody's.

use crate::core::Agent;
use crate::core::compact::Purpose;
use crate::core::thread::Thread;
use crate::core::turn::{Turn, Wait};
use crate::words::item::{Image, Item, Part};
use crate::words::sort;

impl Agent {
    /// The ids of all that may still be wanted, in ascending order; some come more than once.
    pub fn kept(&self) -> Vec<u32> {
        let mut ids = Vec::new();
        for thread in self.threads.iter() {
            thread.each_image(&mut |image| match image {
                Image::Kept(kept) => ids.push(kept.id),
                Image::Url(_) => {}
            });
        }
        sort::by(&mut ids, &mut Ord::cmp);
        ids
    }
}

impl Thread {
    fn each_image(&self, each: &mut dyn FnMut(&Image)) {
        let replaced = self.replaced.iter().flat_map(|replaced| replaced.items());
        let draft = self.turn.iter().flat_map(|turn| match &turn.purpose {
            Purpose::Summary(summing) => summing.draft.items(),
            Purpose::Answer => &[],
        });
        let items = self.history.items().iter().chain(replaced).chain(draft);
        let parts = items.flat_map(|item| match item {
            Item::Message(message) => message.parts.as_slice(),
            Item::Reasoning(_) | Item::Call(_) | Item::Output(_) | Item::Served { .. } => &[],
        });
        for part in parts.chain(self.prompts.iter().flatten()) {
            if let Part::Image(image) = part {
                each(image);
            }
        }
        if let Some(Turn { wait: Wait::Calls { calls }, .. }) = self.turn.as_deref() {
            calls.iter().filter_map(|call| call.image.as_ref()).for_each(each);
        }
    }
}
