//! Standard output and standard error, written to without ever waiting for whoever reads them.
//!
//! `O_NONBLOCK` belongs to the open file, which other processes may share. So a pipe or a terminal is opened once more, for us
//! alone; a socket is asked not to wait at each write. Where a pipe cannot be opened anew it is looked whether it has room
//! before each write: what has room takes `PIPE_BUF` bytes at once. Files are written to as they are.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};

/// What every pipe takes at once if it has room at all (`PIPE_BUF` of Linux).
const AT_ONCE: usize = 4096;

#[derive(Debug)]
pub struct Stream {
    file: File,
    way: Way,
}

#[derive(Clone, Copy, Debug)]
enum Way {
    /// It never waits by itself.
    Plain,
    Socket,
    /// Whether it has room is asked before.
    Asked,
}

/// What was to be written was not, or not all of it.
#[derive(Debug)]
pub struct Unwritten {
    pub partly: bool,
}

impl Stream {
    /// Standard error; `None` if it is closed or there is no descriptor left.
    pub fn stderr() -> Option<Self> {
        Self::new(io::stderr().as_fd().try_clone_to_owned().ok()?).ok()
    }

    /// Standard output, likewise.
    pub fn stdout() -> Option<Self> {
        Self::new(io::stdout().as_fd().try_clone_to_owned().ok()?).ok()
    }

    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        let file = File::from(fd);
        let kind = file.metadata()?.file_type();
        if kind.is_socket() {
            return Ok(Self { file, way: Way::Socket });
        }
        if !(kind.is_fifo() || kind.is_char_device()) {
            return Ok(Self { file, way: Way::Plain });
        }
        let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        Ok(match OpenOptions::new().write(true).custom_flags(flags).open(path) {
            Ok(file) => Self { file, way: Way::Plain },
            // Somebody else's, or a pipe that nobody reads yet.
            Err(_) => Self { file, way: Way::Asked },
        })
    }

    /// Writes what can be written at once.
    pub fn write(&self, bytes: &[u8]) -> Result<(), Unwritten> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.some(rest) {
                Ok(written) if written > 0 => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // It has no room, or nobody reads it any longer.
                Ok(_) | Err(_) => return Err(Unwritten { partly: rest.len() < bytes.len() }),
            }
        }
        Ok(())
    }

    fn some(&self, bytes: &[u8]) -> io::Result<usize> {
        match self.way {
            Way::Plain => (&self.file).write(bytes),
            Way::Socket => {
                let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
                Ok(send(self.file.as_raw_fd(), bytes, flags)?)
            }
            Way::Asked => {
                let mut asked = [PollFd::new(self.file.as_fd(), PollFlags::POLLOUT)];
                if poll(&mut asked, PollTimeout::ZERO)? == 0 {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                (&self.file).write(&bytes[..bytes.len().min(AT_ONCE)])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use nix::fcntl::{FcntlArg, fcntl};
    use nix::sys::stat::Mode;

    use super::*;

    fn until_full(stream: &Stream) -> usize {
        let line = [b'x'; 99];
        (0..1_000_000).find(|_| stream.write(&line).is_err()).expect("it has no end")
    }

    #[test]
    fn a_pipe_that_nobody_reads_holds_nothing_up_and_stays_as_it_is_for_others() {
        let (mut reader, writer) = io::pipe().unwrap();
        let ours = Stream::new(writer.as_fd().try_clone_to_owned().unwrap()).unwrap();
        let asked = Stream { file: File::from(OwnedFd::from(writer.try_clone().unwrap())), way: Way::Asked };
        assert!(matches!(ours.way, Way::Plain));
        assert!(until_full(&ours) > 100);
        assert_eq!(until_full(&asked), 0);
        let flags = OFlag::from_bits_retain(fcntl(writer.as_fd(), FcntlArg::F_GETFL).unwrap());
        assert!(!flags.contains(OFlag::O_NONBLOCK));
        let mut some = vec![0; 60_000];
        reader.read_exact(&mut some).unwrap();
        asked.write(b"room\n").unwrap();
        ours.write(b"again\n").unwrap();
        assert!(until_full(&asked) > 0);
        drop(reader);
        assert!(asked.write(b"x").is_err() && ours.write(b"x").is_err());
    }

    #[test]
    fn a_socket_that_nobody_reads_holds_nothing_up() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let stream = Stream::new(ours.into()).unwrap();
        assert!(until_full(&stream) > 100);
        drop(theirs);
        assert!(stream.write(b"x").is_err());
    }

    #[test]
    fn a_named_pipe_holds_nothing_up_and_a_file_takes_everything() {
        let dir = tempfile::tempdir().unwrap();
        let (path, file) = (dir.path().join("pipe"), dir.path().join("file"));
        nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
        let both = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        assert!(until_full(&Stream::new(both.try_clone().unwrap().into()).unwrap()) > 100);
        let stream = Stream::new(File::create(&file).unwrap().into()).unwrap();
        stream.write(&vec![b'x'; 200_000]).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 200_000);
    }
}
