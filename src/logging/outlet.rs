//! Where lines go. None is waited for: what cannot go at once is dropped, counted, and said once there is room.
//!
//! Lines of syslog go to `/dev/log` over a datagram socket of our own, as `<priority>portsyncd[pid]: text` (RFC 3164, without the
//! time, which the receiver knows). The C library's `syslog`, and what is built upon it, waits for a receiver that does not read.

use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use nix::sys::socket::{MsgFlags, sendmsg};
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use super::line::Style;
use crate::locks::lock;
use crate::nowait::Stream;
use crate::telemetry::Telemetry;

pub(super) const SYSLOG: &str = "/dev/log";
/// The longest message that rsyslog takes by default.
const LONGEST: usize = 8 * 1024;
/// The facility `user`.
const FACILITY: u8 = 1;

/// Lines that were dropped.
#[derive(Debug)]
pub(super) struct Dropped {
    telemetry: Arc<Telemetry>,
    unreported: AtomicU64,
}

#[derive(Debug)]
pub(super) struct Outlet {
    to: To,
    style: Style,
    dropped: Arc<Dropped>,
    /// The last line is there in part.
    cut: AtomicBool,
    /// What says how many were dropped, kept so that no line costs memory.
    notice: Mutex<String>,
}

#[derive(Debug)]
pub(super) enum To {
    Stream(Option<Stream>),
    Syslog(Syslog),
}

/// The socket is made when it is needed, and anew when nobody listens at its other end any longer.
#[derive(Debug)]
pub(super) struct Syslog {
    path: PathBuf,
    socket: Mutex<Option<UnixDatagram>>,
    /// What stands before a line, by severity.
    heads: [String; 5],
}

impl Dropped {
    pub fn new(telemetry: Arc<Telemetry>) -> Arc<Self> {
        Arc::new(Self { telemetry, unreported: AtomicU64::new(0) })
    }

    fn add(&self) {
        self.telemetry.metrics.log_lines_dropped.count(());
        self.unreported.fetch_add(1, Ordering::Relaxed);
    }
}

impl Outlet {
    pub fn new(to: To, style: Style, dropped: Arc<Dropped>) -> Self {
        Self { to, style, dropped, cut: AtomicBool::new(false), notice: Mutex::default() }
    }

    fn line(&self, level: Level, line: &[u8]) {
        let unreported = if self.dropped.unreported.load(Ordering::Relaxed) == 0 {
            0
        } else {
            self.dropped.unreported.swap(0, Ordering::Relaxed)
        };
        let reported = unreported == 0 || self.report_dropped(unreported);
        if !reported {
            self.dropped.unreported.fetch_add(unreported, Ordering::Relaxed);
        }
        if !reported || !self.send(level, line) {
            self.dropped.add();
        }
    }

    fn report_dropped(&self, count: u64) -> bool {
        let mut notice = lock(&self.notice);
        notice.clear();
        self.style.dropped(&mut *notice, count).is_ok() && self.send(Level::WARN, notice.as_bytes())
    }

    fn send(&self, level: Level, line: &[u8]) -> bool {
        let stream = match &self.to {
            To::Stream(Some(stream)) => stream,
            To::Stream(None) => return false,
            To::Syslog(syslog) => return syslog.send(level, line).is_ok(),
        };
        // Begins a line of its own, whatever became of the one before.
        if self.cut.load(Ordering::Relaxed) {
            if stream.write(b"\n").is_err() {
                return false;
            }
            self.cut.store(false, Ordering::Relaxed);
        }
        match stream.write(line) {
            Ok(()) => true,
            Err(unwritten) => {
                self.cut.fetch_or(unwritten.partly, Ordering::Relaxed);
                false
            }
        }
    }
}

impl Syslog {
    pub fn at(path: impl Into<PathBuf>) -> Self {
        let pid = std::process::id();
        let head = |severity| format!("<{}>portsyncd[{pid}]: ", FACILITY << 3 | severity);
        // err, warning, notice, info, debug
        Self { path: path.into(), socket: Mutex::default(), heads: [3, 4, 5, 6, 7].map(head) }
    }

    fn send(&self, level: Level, line: &[u8]) -> io::Result<()> {
        let head = &self.heads[match level {
            Level::ERROR => 0,
            Level::WARN => 1,
            Level::INFO => 2,
            Level::DEBUG => 3,
            Level::TRACE => 4,
        }];
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let parts = [IoSlice::new(head.as_bytes()), IoSlice::new(&line[..line.len().min(LONGEST - head.len())])];
        let mut socket = lock(&self.socket);
        if let Some(open) = &*socket {
            match send(open, &parts) {
                // It listens, and has no room.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
                // Nobody listens there any longer: rsyslogd was restarted, perhaps.
                Err(_) => *socket = None,
                Ok(()) => return Ok(()),
            }
        }
        let open = UnixDatagram::unbound()?;
        open.connect(&self.path)?;
        send(socket.insert(open), &parts)
    }
}

fn send(socket: &UnixDatagram, parts: &[IoSlice<'_>]) -> io::Result<()> {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    sendmsg::<()>(socket.as_raw_fd(), parts, &[], flags, None)?;
    Ok(())
}

#[derive(Debug)]
pub(super) struct OutletWriter<'a>(&'a Outlet, Level);

impl io::Write for OutletWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.line(self.1, line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Outlet {
    type Writer = OutletWriter<'a>;

    fn make_writer(&'a self) -> OutletWriter<'a> {
        OutletWriter(self, Level::INFO)
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> OutletWriter<'a> {
        OutletWriter(self, *metadata.level())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn outlet(path: &Path) -> (Outlet, Arc<Telemetry>) {
        let telemetry = Arc::<Telemetry>::default();
        let to = To::Syslog(Syslog::at(path));
        (Outlet::new(to, Style::Bare, Dropped::new(Arc::clone(&telemetry))), telemetry)
    }

    fn next(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 2 * LONGEST];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    fn head(severity: u8) -> String {
        format!("<{}>portsyncd[{}]: ", 8 + severity, std::process::id())
    }

    #[test]
    fn syslog_that_does_not_read_costs_lines_and_is_told_how_many() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let syslog = UnixDatagram::bind(&path).unwrap();
        let (outlet, telemetry) = outlet(&path);
        let dropped = || telemetry.metrics.log_lines_dropped.sum();
        let mut sent = 0;
        while dropped() < 3 {
            outlet.line(Level::INFO, b"change\n");
            sent += 1;
            assert!(sent < 100_000, "it has no end");
        }
        for _ in 0..sent - 3 {
            assert_eq!(next(&syslog), head(5) + "change");
        }
        outlet.line(Level::TRACE, b"room again\n");
        assert_eq!(next(&syslog), head(4) + "log lines dropped, nobody took them dropped=3");
        assert_eq!(next(&syslog), head(7) + "room again");
        assert_eq!(dropped(), 3);
    }

    #[test]
    fn syslog_is_found_when_it_comes_and_again_after_it_was_restarted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let (outlet, telemetry) = outlet(&path);
        outlet.line(Level::ERROR, b"too early\n");
        assert_eq!(telemetry.metrics.log_lines_dropped.sum(), 1);
        for run in 0..2 {
            let syslog = UnixDatagram::bind(&path).unwrap();
            outlet.line(Level::ERROR, b"here\n");
            if run == 0 {
                assert_eq!(next(&syslog), head(4) + "log lines dropped, nobody took them dropped=1");
            }
            assert_eq!(next(&syslog), head(3) + "here");
            outlet.line(Level::DEBUG, &[b'x'; 2 * LONGEST]);
            assert_eq!(next(&syslog).len(), LONGEST);
            drop(syslog);
            std::fs::remove_file(&path).unwrap();
        }
        assert_eq!(telemetry.metrics.log_lines_dropped.sum(), 1);
    }
}
