//! `tasks` a page at a time.
//!
//! The kernel makes an array of all ids when its `tasks` file is opened (pidlist), and its own authors
//! wished it did not. Here a reader has a cursor, which is the last id it was given, and asks for the
//! next so many. What a page holds while it is made is that many ids, however large the group is; it
//! costs those, and a search in each css_set that is linked to the group.
//!
//! The order is that of the file: by thread id. So an id that is in the group all the while is in
//! exactly one page, and none is in two, whatever else comes and goes. That something did is said: a
//! group knows the commit that last changed who is in it, and a cursor the one that it began at.

use std::collections::BinaryHeap;
use std::ops::Bound;

use super::resolve::{Access, check_access};
use super::{Framework, Generation};
use crate::group::GroupId;
use crate::{Credentials, GroupPath, Refusal, Tid};

/// How far a listing has come. Good for one group, and for as long as anyone likes to keep it.
#[derive(Clone, Copy, Debug)]
pub struct TaskCursor {
    group: GroupId,
    /// The last id that was given.
    after: Tid,
    /// When the listing began.
    began: Generation,
    torn: bool,
}

/// A part of a listing.
#[derive(Clone, Debug)]
pub struct TaskPage {
    /// Thread ids, ascending, all above those of the pages before.
    pub tids: Vec<Tid>,
    /// Where the next page begins; None where this is the last.
    pub next: Option<TaskCursor>,
    /// Whether a task came or went since the first page: then the pages together are what the group
    /// had at no one time. Once torn, a listing stays so.
    pub torn: bool,
}

/// Most ids in one page, whatever is asked for.
pub const MAX_TASK_PAGE: usize = 4096;

impl Framework {
    /// The next tasks of a group, at most `most` (and [`MAX_TASK_PAGE`], and at least one): from the
    /// first, or from where another page ended. All pages together are what a read of the file
    /// `tasks` gives, if none of them is torn.
    ///
    /// # Errors
    /// ENOENT for a group that is not there, EACCES without the right to read it.
    pub fn tasks_after(
        &self,
        by: &Credentials,
        group: &GroupPath,
        cursor: Option<TaskCursor>,
        most: usize,
    ) -> Result<TaskPage, Refusal> {
        let group = self.resolve(group)?;
        check_access(&self.core, by, group, Access::Read)?;
        let most = most.clamp(1, MAX_TASK_PAGE);
        let (tids, rest) = self.least_tids(group, cursor.map(|cursor| cursor.after), most);
        let (began, torn) = match cursor {
            None => (self.generation, false),
            Some(cursor) => {
                // Another group may have the path by now, and be old.
                let is_another = cursor.group != group;
                let is_changed = self.core.groups[group].changed > cursor.began;
                (cursor.began, cursor.torn || is_another || is_changed)
            }
        };
        let next = tids.last().filter(|_| rest).map(|last| TaskCursor {
            group,
            after: *last,
            began,
            torn,
        });
        Ok(TaskPage { tids, next, torn })
    }

    /// The least ids above one, at most so many, ascending; and whether there are more.
    fn least_tids(&self, group: GroupId, after: Option<Tid>, most: usize) -> (Vec<Tid>, bool) {
        let above = after.map_or(Bound::Unbounded, Bound::Excluded);
        // The greatest is on top, and is the one that goes for a lesser.
        let (mut least, mut rest) = (BinaryHeap::new(), false);
        for set in self.core.css_sets_of(group) {
            for tid in set.tasks.range((above, Bound::Unbounded)) {
                if least.len() < most {
                    least.push(*tid);
                    continue;
                }
                rest = true;
                match least.peek_mut() {
                    Some(mut greatest) if *tid < *greatest => *greatest = *tid,
                    // The others of this set are greater still.
                    _ => break,
                }
            }
        }
        (least.into_sorted_vec(), rest)
    }
}
