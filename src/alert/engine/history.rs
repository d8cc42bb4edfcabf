//! The last transitions.

use std::collections::VecDeque;

use crate::alert::model::Transition;

#[derive(Debug)]
pub(in crate::alert) struct TransitionHistory {
    most: usize,
    all: VecDeque<Transition>,
}

impl TransitionHistory {
    pub fn new(most: usize) -> Self {
        Self { most, all: VecDeque::new() }
    }

    pub fn extend<'a>(&mut self, transitions: impl IntoIterator<Item = &'a Transition>) {
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

    /// Those of an earlier run, which are older than all others.
    pub fn restore(&mut self, older: &[Transition]) {
        let own = std::mem::take(&mut self.all);
        self.extend(older);
        self.extend(own.iter());
    }

    /// Another number of them is kept.
    pub fn resize(&mut self, most: usize) {
        self.most = most;
        self.all.drain(..self.all.len().saturating_sub(most));
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Transition> {
        self.all.iter()
    }
}
