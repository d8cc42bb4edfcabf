//! A terminal: a pseudo-terminal, what runs in it, and what stands on its screen.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portsyncd::lab::wait;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize};

use super::LIMIT;

/// See the module.
pub struct Terminal {
    child: Child,
    master: File,
    /// Held so that its settings can be looked at when everybody else has closed it.
    slave: File,
    before: Termios,
    output: mpsc::Receiver<Vec<u8>>,
    screen: vt100::Parser,
}

impl Terminal {
    /// Runs a command in a terminal of so many columns and rows.
    pub fn run(command: &Command, (columns, rows): (u16, u16)) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let no_ctty = nix::fcntl::OFlag::O_NOCTTY.bits();
        let slave = OpenOptions::new().read(true).write(true).custom_flags(no_ctty).open(name).unwrap();
        set_size(&slave, (columns, rows));
        // A session of its own, of which this is the terminal: as after a login.
        let mut started = Command::new("setsid");
        started.arg("--ctty").arg(command.get_program()).args(command.get_args());
        started.env("TERM", "xterm-256color").env_remove("NO_COLOR");
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => started.env(name, value),
                None => started.env_remove(name),
            };
        }
        let end = || Stdio::from(OwnedFd::from(slave.try_clone().unwrap()));
        let child = started.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        drop(started);
        let master = File::from(master);
        let (send, output) = mpsc::channel();
        let mut reader = master.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut bytes = vec![0; 65536];
            while let Ok(length @ 1..) = reader.read(&mut bytes) {
                if send.send(bytes[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        let before = tcgetattr(&slave).unwrap();
        Self { child, master, slave, before, output, screen: vt100::Parser::new(nonzero(rows), nonzero(columns), 0) }
    }

    /// Presses keys.
    pub fn keys(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Another size.
    pub fn resize(&mut self, (columns, rows): (u16, u16)) {
        self.screen.screen_mut().set_size(nonzero(rows), nonzero(columns));
        set_size(&self.master, (columns, rows));
    }

    /// Tells what runs there to end.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// What stands on the screen.
    pub fn text(&self) -> String {
        self.screen.screen().contents()
    }

    /// How many cells of the screen have a colour.
    pub fn coloured(&self) -> usize {
        let screen = self.screen.screen();
        let (rows, columns) = screen.size();
        let (rows, columns) = (rows.get(), columns.get());
        let cells = (0..rows).flat_map(|row| (0..columns).filter_map(move |column| screen.cell(row, column)));
        cells.filter(|cell| (cell.fgcolor(), cell.bgcolor()) != (vt100::Color::Default, vt100::Color::Default)).count()
    }

    /// Waits for the screen to be like this.
    pub fn expect(&mut self, what: &str, mut like_this: impl FnMut(&vt100::Screen) -> bool) {
        let end = Instant::now() + LIMIT;
        while !like_this(self.screen.screen()) {
            let piece = self.output.recv_timeout(end.saturating_duration_since(Instant::now()));
            let piece = piece.unwrap_or_else(|error| panic!("{error}, no {what} on\n{}", self.text()));
            self.screen.process(&piece);
        }
    }

    /// Waits for a line that has all of these.
    pub fn expect_line(&mut self, parts: &[&str]) {
        self.expect(&format!("line with {parts:?}"), |screen| {
            screen.contents().lines().any(|line| parts.iter().all(|part| line.contains(part)))
        });
    }

    /// Waits for the end of what runs here; the terminal has to be as it was before.
    pub fn expect_end(&mut self) -> ExitStatus {
        let child = &mut self.child;
        let status = wait::until_some("the command's end", LIMIT, || child.try_wait().unwrap()).unwrap();
        // A line of our own comes after all of its output.
        let end = "everything was read";
        self.slave.write_all(end.as_bytes()).unwrap();
        self.expect("end of the output", |screen| screen.contents().contains(end));
        let screen = self.screen.screen();
        assert!(!screen.alternate_screen(), "the alternate screen was left");
        assert!(!screen.hide_cursor(), "the cursor is shown");
        let after = tcgetattr(&self.slave).unwrap();
        assert!(after.local_modes.contains(LocalModes::ICANON | LocalModes::ECHO), "lines are edited and echoed");
        assert_eq!(
            (after.local_modes, after.input_modes, after.output_modes),
            (self.before.local_modes, self.before.input_modes, self.before.output_modes)
        );
        status
    }
}

fn nonzero(size: u16) -> NonZero<u16> {
    NonZero::new(size).unwrap()
}

fn set_size(terminal: &File, (columns, rows): (u16, u16)) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).unwrap();
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
