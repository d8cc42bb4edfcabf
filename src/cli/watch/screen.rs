//! The terminal while it is drawn on, given back however that ends.

use std::io::{self, BufWriter, Stdout};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::cursor::{Hide, Show};
use crossterm::execute;
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

use super::draw::{Theme, draw};
use super::view::View;

/// As much as a full frame of a large terminal needs, so that it is written at once.
const FRAME: usize = 64 * 1024;

pub struct Screen {
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
    _given_back: GivenBack,
}

/// Gives the terminal back when it is dropped.
struct GivenBack;

impl Drop for GivenBack {
    fn drop(&mut self) {
        give_back();
    }
}

/// Whether the terminal is taken. One for the process, as its terminal and its panics are.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Only the first time counts: a second one would move the cursor to where it was before, on top of what was said since.
fn give_back() {
    if !TAKEN.swap(false, Ordering::Relaxed) {
        return;
    }
    // There is nothing else that could be done about a terminal that went.
    let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}

impl Screen {
    /// Takes the terminal. It is given back on drop, and before a panic is told: the release build aborts then.
    pub fn take() -> io::Result<Self> {
        let told = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            give_back();
            told(panic);
        }));
        TAKEN.store(true, Ordering::Relaxed);
        let given_back = GivenBack;
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        let terminal = Terminal::new(CrosstermBackend::new(BufWriter::with_capacity(FRAME, io::stdout())))?;
        Ok(Self { terminal, _given_back: given_back })
    }

    /// Draws, as large as the terminal is now.
    pub fn draw(&mut self, view: &mut View, theme: Theme) -> io::Result<()> {
        self.terminal.draw(|frame| {
            view.resize(frame.area());
            draw(frame, view, theme);
        })?;
        Ok(())
    }
}
