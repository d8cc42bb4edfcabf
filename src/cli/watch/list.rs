//! The ports as they are looked at: filtered, ordered, with a cursor.

use std::cmp::Reverse;

use portsyncd::api::{Port, PortChanges, PortState};
use portsyncd::telemetry::ports::natural;

/// What the ports are ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// Names, numbers as numbers.
    #[default]
    Name,
    /// Flaps, the most first.
    Flaps,
    /// The last change, the newest first.
    LastChange,
}

impl Sort {
    pub fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Flaps => "flaps",
            Self::LastChange => "last change",
        }
    }

    fn next(self) -> Self {
        match self {
            Self::Name => Self::Flaps,
            Self::Flaps => Self::LastChange,
            Self::LastChange => Self::Name,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    Up,
    /// Wanted up, and not up.
    Down,
    AdminDown,
    /// The link is there, its row in `APPL_DB` is not.
    Waiting,
    /// The link is from before a cold start, and ignored until it goes.
    Ignored,
    /// Its key in `STATE_DB` holds another type than a hash.
    Blocked,
    /// Configured, and not there yet.
    Awaited,
}

impl Look {
    pub const ALL: [Self; 7] =
        [Self::Up, Self::Down, Self::AdminDown, Self::Waiting, Self::Ignored, Self::Blocked, Self::Awaited];

    pub fn of(port: &Port) -> Self {
        match port.state {
            PortState::Waiting => Self::Waiting,
            PortState::Ignored => Self::Ignored,
            PortState::Blocked => Self::Blocked,
            PortState::Awaited => Self::Awaited,
            PortState::InStep | PortState::Pending => match (port.admin.as_deref(), port.oper.as_deref()) {
                (_, Some("up")) => Self::Up,
                (Some("up"), _) => Self::Down,
                _ => Self::AdminDown,
            },
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::AdminDown => "admin down",
            Self::Waiting => "waiting",
            Self::Ignored => "ignored",
            Self::Blocked => "blocked",
            Self::Awaited => "awaited",
        }
    }
}

#[derive(Debug, Default)]
pub struct List {
    /// All, in the order of their names.
    ports: Vec<Port>,
    /// Those that are shown, in the order in which they are.
    shown: Vec<usize>,
    cursor: usize,
    filter: String,
    sort: Sort,
}

impl List {
    /// Begins anew with these.
    pub fn replace(&mut self, mut ports: Vec<Port>) {
        ports.sort_by_cached_key(|port| natural(port.name.as_bytes()));
        self.ports = ports;
        self.arrange();
    }

    /// Takes over what changed; `told` hears of each port as it was and as it is.
    pub fn change(&mut self, changes: PortChanges, mut told: impl FnMut(Option<&Port>, Option<&Port>)) {
        let find = |ports: &[Port], name: &str| {
            let key = natural(name.as_bytes());
            ports.binary_search_by_key(&key, |port| natural(port.name.as_bytes()))
        };
        for port in changes.ports {
            match find(&self.ports, &port.name) {
                Ok(at) => {
                    let before = std::mem::replace(&mut self.ports[at], port);
                    told(Some(&before), Some(&self.ports[at]));
                }
                Err(at) => {
                    self.ports.insert(at, port);
                    told(None, Some(&self.ports[at]));
                }
            }
        }
        for name in &changes.removed {
            if let Ok(at) = find(&self.ports, name) {
                let before = self.ports.remove(at);
                told(Some(&before), None);
            }
        }
        self.arrange();
    }

    fn arrange(&mut self) {
        let filter = self.filter.to_lowercase();
        let ports = &self.ports;
        self.shown = (0..ports.len()).filter(|at| ports[*at].name.to_lowercase().contains(&filter)).collect();
        // Both keep the order of the names among equals.
        match self.sort {
            Sort::Name => {}
            Sort::Flaps => self.shown.sort_by_key(|at| Reverse(ports[*at].flaps)),
            Sort::LastChange => {
                let at = |at: &usize| ports[*at].last_change.unwrap_or_default();
                self.shown.sort_by(|one, other| at(other).total_cmp(&at(one)));
            }
        }
        self.cursor = self.cursor.min(self.shown.len().saturating_sub(1));
    }

    pub fn all(&self) -> &[Port] {
        &self.ports
    }

    pub fn len(&self) -> usize {
        self.shown.len()
    }

    /// The port at this place of those shown.
    pub fn get(&self, at: usize) -> Option<&Port> {
        self.shown.get(at).map(|at| &self.ports[*at])
    }

    pub fn cursor(&self) -> usize {
        self.cursor
    }

    /// The port at the cursor.
    pub fn chosen(&self) -> Option<&Port> {
        self.get(self.cursor)
    }

    /// Moves the cursor by so many places, as far as there are any.
    pub fn step(&mut self, places: isize) {
        self.cursor = self.cursor.saturating_add_signed(places).min(self.shown.len().saturating_sub(1));
    }

    /// What names have to contain, upper and lower case alike.
    pub fn filter(&self) -> &str {
        &self.filter
    }

    pub fn set_filter(&mut self, filter: String) {
        self.filter = filter;
        self.arrange();
    }

    /// What the ports are ordered by.
    pub fn sort(&self) -> Sort {
        self.sort
    }

    /// The next order, from its beginning.
    pub fn sort_next(&mut self) {
        self.sort = self.sort.next();
        self.cursor = 0;
        self.arrange();
    }

    /// How many ports look like this.
    pub fn count(&self, look: Look) -> usize {
        self.ports.iter().filter(|port| Look::of(port) == look).count()
    }

    /// How many rows are being written.
    pub fn pending(&self) -> usize {
        self.ports.iter().filter(|port| port.state == PortState::Pending).count()
    }
}
