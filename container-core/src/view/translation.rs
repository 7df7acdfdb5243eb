//! The framework's refusals, retold to a guest.

use super::ViewPath;
use super::registry::View;
use crate::refusal::Part;
use crate::{GroupPath, Refusal};

/// What stands for every sentence with something from outside in it. It is the same whatever that
/// is, so that it tells nothing but that the reason is not the guest's to see.
const ABOVE: &str = "a limit above the root of this view refuses it";

impl View {
    /// The refusal of one command in the guest's names, its errno as it is.
    pub(super) fn retell(&self, refusal: Refusal, root: &GroupPath) -> Refusal {
        let words: Option<String> = refusal
            .parts
            .iter()
            .map(|part| self.retell_part(part, root))
            .collect();
        // A sentence that was not taken apart is the host's.
        let words = words.filter(|_| !refusal.parts.is_empty());
        Refusal::plain(refusal.errno, words.unwrap_or_else(|| ABOVE.into()))
    }

    /// None for what is outside.
    fn retell_part(&self, part: &Part, root: &GroupPath) -> Option<String> {
        match part {
            Part::Words(words) => Some(words.clone()),
            Part::Group(path) => ViewPath::of(path, root).map(|path| path.to_string()),
            Part::Task(name) if name.machine == self.machine => Some(name.kind.to_string()),
            Part::Task(_) => None,
        }
    }
}
