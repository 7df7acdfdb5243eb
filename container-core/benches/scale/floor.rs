//! What the memory of the machine takes for the lines that a lookup of a css_set cannot do without.
//!
//! A lookup goes from a task to its css_set, and with a group to a place in the table of css_sets and from
//! there to the set that is found: each names the next. These are as many and as large as in the framework, and hold
//! nothing else; so whatever a lookup costs beyond this walk is the framework's own work.

/// A cache line, and on one.
#[repr(align(64))]
struct Line(u32);

/// The lines of all tasks, css_sets and groups.
pub struct Floor {
    tasks: Vec<Line>,
    css_sets: Vec<Line>,
    groups: Vec<Line>,
    places: Vec<Line>,
}

impl Floor {
    /// In so many css_sets, one a group.
    pub fn new(tasks: usize, css_sets: usize) -> Floor {
        let lines = |count: usize| {
            (0..count.max(1))
                .map(|at| Line(scattered(at as u32)))
                .collect()
        };
        Floor {
            tasks: lines(tasks),
            css_sets: lines(css_sets),
            groups: lines(css_sets),
            // Eight bytes a place, and up to twice as many of them as there are sets.
            places: lines(css_sets * 2 * 8 / 64),
        }
    }

    /// From one of the tasks and one of the groups to a css_set.
    pub fn walk(&self, task: usize, group: usize) -> u32 {
        let next = |lines: &[Line], from: u32| lines[from as usize % lines.len()].0;
        let own = next(&self.css_sets, next(&self.tasks, task as u32));
        let place = next(&self.places, own ^ next(&self.groups, group as u32));
        next(&self.css_sets, place)
    }
}

/// Neighbours name others far apart.
fn scattered(number: u32) -> u32 {
    number.wrapping_mul(0x9e37_79b1).rotate_left(15)
}
