//! Colours and signs. Without colours the signs, words and weights say the same.

use ratatui::style::{Color, Modifier, Style};

use super::super::list::Look;

/// Of a port whose row is being written.
pub const PENDING: &str = "~";

/// The sign of a port. All of them are in the fonts of serial consoles' terminals and one column wide.
pub fn sign(look: Look) -> &'static str {
    match look {
        Look::Up => "▲",
        Look::Down => "×",
        Look::AdminDown => "-",
        Look::Waiting => "?",
        Look::Ignored => "!",
        Look::Blocked => "#",
        Look::Awaited => "·",
    }
}

pub const STRONG: Style = Style::new().add_modifier(Modifier::BOLD);
/// Of what may be overlooked. Dim rather than grey: in some palettes grey is the ground's colour.
pub const QUIET: Style = Style::new().add_modifier(Modifier::DIM);
pub const CURSOR: Style = Style::new().add_modifier(Modifier::REVERSED);

/// Text on a ground of its own.
pub fn badge(style: Style) -> Style {
    style.add_modifier(Modifier::REVERSED)
}

#[derive(Clone, Copy, Debug)]
pub struct Theme {
    /// Whether there are colours.
    pub colour: bool,
}

impl Theme {
    fn ink(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    pub fn good(self) -> Style {
        self.ink(Color::Green)
    }

    pub fn fair(self) -> Style {
        self.ink(Color::Yellow)
    }

    pub fn bad(self) -> Style {
        self.ink(Color::Red).add_modifier(Modifier::BOLD)
    }

    pub fn chart(self) -> Style {
        self.ink(Color::Cyan)
    }

    pub fn score(self, score: u8) -> Style {
        match score {
            90.. => self.good(),
            60.. => self.fair(),
            _ => self.bad(),
        }
    }

    pub fn look(self, look: Look) -> Style {
        match look {
            Look::Up => self.good(),
            Look::Down => self.bad(),
            Look::AdminDown => QUIET,
            Look::Waiting => self.ink(Color::Cyan),
            Look::Ignored => self.ink(Color::Magenta),
            Look::Blocked => self.bad(),
            Look::Awaited => self.ink(Color::Blue),
        }
    }

    /// Of a port, as a cell of the panel.
    pub fn cell(self, look: Look, pending: bool) -> Style {
        if !self.colour {
            return if look == Look::Down { self.bad() } else { Style::new() };
        }
        let (ink, ground) = match (look, pending) {
            (_, true) => (Color::Black, Color::Yellow),
            (Look::Up, _) => (Color::Black, Color::Green),
            (Look::Down, _) => (Color::White, Color::Red),
            (Look::AdminDown, _) => (Color::Gray, Color::DarkGray),
            (Look::Waiting, _) => (Color::Black, Color::Cyan),
            (Look::Ignored, _) => (Color::White, Color::Magenta),
            (Look::Blocked, _) => (Color::Red, Color::White),
            (Look::Awaited, _) => (Color::White, Color::Blue),
        };
        Style::new().fg(ink).bg(ground)
    }
}
