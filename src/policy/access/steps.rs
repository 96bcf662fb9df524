//! The lines of a table as steps: rules, and blocks that can be skipped.

/// The step of a line.
#[derive(Debug)]
enum Step<R, C> {
    /// Finds the entry of this number if the rule holds.
    Rule(R, u32),
    /// Continues at that step unless the condition holds.
    If(C, usize),
}

/// Steps with these rules and conditions.
#[derive(Debug)]
pub(super) struct Steps<R, C = R> {
    steps: Vec<Step<R, C>>,
    /// The steps of the open `if`s, while lines are added.
    open: Vec<usize>,
}

impl<R, C> Steps<R, C> {
    /// No steps.
    pub(super) const fn new() -> Self {
        Self {
            steps: Vec::new(),
            open: Vec::new(),
        }
    }

    /// Adds a rule with this entry.
    pub(super) fn rule(&mut self, rule: R, entry: u32) {
        self.steps.push(Step::Rule(rule, entry));
    }

    /// Adds the beginning of a block.
    pub(super) fn begin(&mut self, condition: C) {
        self.open.push(self.steps.len());
        self.steps.push(Step::If(condition, usize::MAX));
    }

    /// Ends the last open block; does nothing without one.
    pub(super) fn end(&mut self) {
        let end = self.steps.len();
        let open = self.open.pop().and_then(|open| self.steps.get_mut(open));
        if let Some(Step::If(_, otherwise)) = open {
            *otherwise = end;
        }
    }

    /// The entry of the first rule that holds and is not skipped.
    pub(super) fn find(
        &self,
        rule_holds: impl Fn(&R) -> bool,
        condition_holds: impl Fn(&C) -> bool,
    ) -> Option<u32> {
        let mut at = 0_usize;
        while let Some(step) = self.steps.get(at) {
            at = at.saturating_add(1);
            match step {
                Step::Rule(rule, entry) if rule_holds(rule) => return Some(*entry),
                Step::Rule(..) => {}
                Step::If(condition, otherwise) => {
                    if !condition_holds(condition) {
                        at = *otherwise;
                    }
                }
            }
        }
        None
    }
}
