//! What is shown, as a machine: what the daemon tells and what keys are pressed go in, state that can be drawn comes out. It
//! has no clock, terminal or connection.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use portsyncd::alert::api::AlertView;
use portsyncd::api::{Sample, Status};
use portsyncd::control::Event;
use ratatui::layout::Rect;

use super::arrange::{Arrangement, REASON, panel_columns};
use super::event_log::EventLog;
use super::list::List;
use crate::cli::alerts::order;

/// How far back rates and latencies are shown, in seconds.
pub const WINDOW: f64 = 120.0;
/// More ports than this are shown as a panel until somebody wants them otherwise.
const MANY: usize = 128;
/// The longest filter: names of links have at most 15 bytes, each of which may be escaped.
const FILTER: usize = 60;

/// How the ports are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Table,
    Panel,
}

/// No answer from the daemon.
#[derive(Clone, Debug, PartialEq)]
pub struct Lost {
    /// When it last said something, as Unix time: what is shown is as old.
    pub heard: f64,
    pub reason: String,
}

#[derive(Debug, Default)]
pub struct View {
    /// Unix time.
    pub now: f64,
    /// How the daemon stands; `None` before it said so.
    pub status: Option<Box<Status>>,
    pub list: List,
    /// Rates and latencies of the last two minutes, oldest first.
    pub samples: VecDeque<Sample>,
    /// What happened to the ports.
    pub event_log: EventLog,
    /// Alerts, the worst first; `None` if the daemon does not tell of any.
    pub alerts: Option<Vec<AlertView>>,
    /// Set while the daemon does not answer; what is shown is then as old.
    pub lost: Option<Lost>,
    /// Whether keys go to the filter.
    pub editing: bool,
    form: Option<Form>,
    area: Rect,
    heard: f64,
}

impl View {
    /// The time is this now.
    pub fn tick(&mut self, now: f64) {
        self.now = now;
        while self.samples.front().is_some_and(|sample| sample.at < now - WINDOW) {
            self.samples.pop_front();
        }
    }

    /// The terminal is as large as this.
    pub fn resize(&mut self, area: Rect) {
        self.area = area;
    }

    /// The daemon told something, hence it answers.
    pub fn event(&mut self, event: Event) {
        self.lost = None;
        self.heard = self.now;
        match event {
            Event::Status(status) => self.status = Some(status),
            Event::Ports(ports) => {
                self.list.replace(ports.ports);
                self.event_log.remember(self.list.all());
            }
            Event::Change(changes) => {
                let (event_log, now) = (&mut self.event_log, self.now);
                self.list.change(changes, |before, after| event_log.compare(before, after, now));
                self.event_log.settle();
            }
            Event::Sample(sample) => self.samples.push_back(sample),
            Event::Alerts(mut alerts) => {
                order(&mut alerts);
                self.alerts = Some(alerts);
            }
        }
    }

    /// The daemon does not answer.
    pub fn lost(&mut self, reason: String) {
        self.lost = Some(Lost { heard: self.heard, reason });
    }

    /// How the ports are shown.
    pub fn form(&self) -> Form {
        self.form.unwrap_or(if self.list.all().len() > MANY { Form::Panel } else { Form::Table })
    }

    pub fn arrangement(&self) -> Arrangement {
        let alerts = self.alerts.as_ref().map_or(0, Vec::len);
        let parts = self.status.iter().flat_map(|status| &status.health.parts);
        let health = parts.map(|part| 1 + usize::from(REASON) * usize::from(part.reason.is_some())).sum();
        Arrangement::new(self.area, alerts, health)
    }

    /// A key was pressed; breaks if this is the end.
    pub fn key(&mut self, key: KeyEvent) -> ControlFlow<()> {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return if key.code == KeyCode::Char('c') { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        }
        if self.editing {
            self.edit(key.code);
            return ControlFlow::Continue(());
        }
        let (line, page) = self.steps();
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return ControlFlow::Break(()),
            KeyCode::Up | KeyCode::Char('k') => self.list.step(-line),
            KeyCode::Down | KeyCode::Char('j') => self.list.step(line),
            KeyCode::Left | KeyCode::Char('h') if self.form() == Form::Panel => self.list.step(-1),
            KeyCode::Right | KeyCode::Char('l') if self.form() == Form::Panel => self.list.step(1),
            KeyCode::PageUp => self.list.step(-page),
            KeyCode::PageDown => self.list.step(page),
            KeyCode::Home | KeyCode::Char('g') => self.list.step(isize::MIN),
            KeyCode::End | KeyCode::Char('G') => self.list.step(isize::MAX),
            KeyCode::Char('/') => self.editing = true,
            KeyCode::Char('s') => self.list.sort_next(),
            KeyCode::Char('p') => {
                self.form = Some(if self.form() == Form::Table { Form::Panel } else { Form::Table });
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn edit(&mut self, code: KeyCode) {
        let mut filter = self.list.filter().to_owned();
        match code {
            KeyCode::Enter => self.editing = false,
            KeyCode::Esc => {
                self.editing = false;
                filter.clear();
            }
            KeyCode::Backspace => {
                filter.pop();
            }
            KeyCode::Char(character) if filter.chars().count() < FILTER => filter.push(character),
            _ => {}
        }
        if filter != self.list.filter() {
            self.list.set_filter(filter);
        }
    }

    /// How many ports further the next line is, and the next page.
    fn steps(&self) -> (isize, isize) {
        let ports = self.arrangement().ports;
        let line = match self.form() {
            Form::Table => 1,
            Form::Panel => panel_columns(ports.list.width).max(1),
        };
        let rows = match self.form() {
            Form::Table => ports.list.height.saturating_sub(1),
            Form::Panel => ports.list.height,
        };
        let (line, rows) = (isize::from(line.cast_signed()), isize::from(rows.max(1).cast_signed()));
        (line, line * rows)
    }
}
