//! The last transitions.

use std::collections::VecDeque;

use super::report::Transition;

#[derive(Debug)]
pub(super) struct History {
    most: usize,
    all: VecDeque<Transition>,
}

impl History {
    pub fn new(most: usize) -> Self {
        Self { most, all: VecDeque::new() }
    }

    pub fn extend(&mut self, transitions: &[Transition]) {
        for transition in transitions {
            if self.most == 0 {
                return;
            }
            if self.all.len() >= self.most {
                self.all.pop_front();
            }
            self.all.push_back(transition.clone());
        }
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Transition> {
        self.all.iter()
    }
}
