//! One amount since the last reset, divided among CPUs.
//!
//! The parts together are always the whole, before a reset and after, and after a correction: what the
//! files of one group show adds up. Only the CPUs that a group was billed for since have a part, so that
//! a host of many CPUs does not make every group large.

/// The parts of a group's bill.
#[derive(Clone, Debug, Default)]
pub(crate) struct Split {
    /// Ascending.
    parts: Vec<Part>,
}

#[derive(Clone, Copy, Debug)]
struct Part {
    cpu: u32,
    amount: u64,
}

impl Split {
    pub fn add(&mut self, cpu: u32, amount: u64) {
        if amount == 0 {
            return;
        }
        let place = self.parts.binary_search_by_key(&cpu, |part| part.cpu);
        let at = place.unwrap_or_else(|at| {
            self.parts.insert(at, Part { cpu, amount: 0 });
            at
        });
        let part = &mut self.parts[at];
        part.amount = part.amount.saturating_add(amount);
    }

    /// Take back what was billed too much: that of one CPU before others. What is more than there is was
    /// billed before the reset, and is shown no more.
    pub fn take(&mut self, first: u32, amount: u64) {
        let mut rest = amount;
        self.parts
            .sort_unstable_by_key(|part| (part.cpu != first, part.cpu));
        for part in &mut self.parts {
            let back = rest.min(part.amount);
            part.amount -= back;
            rest -= back;
        }
        self.parts.sort_unstable_by_key(|part| part.cpu);
    }

    pub fn reset(&mut self) {
        self.parts.clear();
    }

    /// For each CPU below a number.
    pub fn shown(&self, cpus: u32) -> impl Iterator<Item = u64> {
        let mut parts = self.parts.iter().peekable();
        (0..cpus).map(move |cpu| {
            let part = parts.next_if(|part| part.cpu == cpu);
            part.map_or(0, |part| part.amount)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(split: &Split) -> Vec<u64> {
        split.shown(4).collect()
    }

    #[test]
    fn what_was_too_much_comes_off_its_own_cpu_first_then_off_the_lowest() {
        let mut split = Split::default();
        for cpu in [2, 0, 3] {
            split.add(cpu, 10);
        }
        split.take(2, 4);
        assert_eq!(shown(&split), [10, 0, 6, 10]);
        split.take(2, 9);
        assert_eq!(shown(&split), [7, 0, 0, 10]);
        split.take(1, 8);
        assert_eq!(shown(&split), [0, 0, 0, 9]);
    }

    #[test]
    fn what_was_read_before_a_reset_is_given_back_last_and_hides_nothing_later() {
        let mut split = Split::default();
        split.add(0, 10);
        split.reset();
        split.add(1, 5);
        split.take(0, 6);
        assert_eq!(shown(&split), [0, 0, 0, 0]);
        split.add(0, 1);
        assert_eq!(shown(&split), [1, 0, 0, 0], "nothing later is hidden");
        split.reset();
        split.take(0, 4);
        split.add(0, 2);
        assert_eq!(shown(&split), [2, 0, 0, 0]);
    }

    #[test]
    fn a_cpu_that_was_billed_nothing_since_the_reset_has_no_part() {
        let mut split = Split::default();
        split.add(3, 0);
        assert!(split.parts.is_empty());
        split.add(3, 1);
        split.reset();
        assert!(split.parts.is_empty());
    }
}
