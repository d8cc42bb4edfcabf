//! A server between the daemon and Redis that counts commands, and strikes at one of them: it cuts all connections before the
//! command is handed on, after Redis has done it, or in the middle of the reply, or it holds the reply back until told.
//!
//! A connection has one command under way at a time, however many the client sent at once, so that the n-th command is
//! struck when all before it are done and answered. What a listening connection is told unasked passes by.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

/// What is done at a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Everything is cut, and Redis never hears of the command.
    CutBefore,
    /// Redis does it, and everything is cut.
    CutAfter,
    /// Redis does it, and everything is cut behind the first half of the reply.
    CutInReply,
    /// Redis does it, the reply goes out, and everything is cut behind it; nobody is let in until [`Proxy::pass`].
    CutBehind,
    /// Redis does it, and the reply waits until [`Proxy::release`].
    Hold,
}

type Matches = Box<dyn Fn(&str) -> bool + Send>;

#[derive(Default)]
struct State {
    next: u64,
    open: HashMap<u64, [UnixStream; 2]>,
    listening: HashSet<u64>,
    /// Connections on which nothing comes through any longer, either way.
    deaf: HashSet<u64>,
    refusing: bool,
    /// No command is handed on.
    stopped: bool,
    /// Commands since this was armed.
    seen: Vec<String>,
    at: Option<(usize, Fault)>,
    each: Option<(Matches, Fault)>,
    struck: Option<String>,
    held: bool,
    strikes: Vec<Instant>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// See the module. Its threads end with its connections.
pub struct Proxy {
    path: PathBuf,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Listens at `path` for clients of the server at `server`.
    pub fn start(server: &Path, path: PathBuf) -> Self {
        let listener = UnixListener::bind(&path).unwrap();
        let (shared, server) = (Arc::new(Shared::default()), server.to_owned());
        let all = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // A server that is away ends the connection as a refusal does.
                let _ = all.accept(client, &server);
            }
        });
        Self { path, shared }
    }

    /// As the daemon's `redis.url` takes it.
    pub fn url(&self) -> String {
        format!("unix://{}", self.path.display())
    }

    pub fn socket(&self) -> PathBuf {
        self.path.clone()
    }

    /// Counts from now on, and strikes at the n-th command, if any.
    pub fn arm(&self, at: Option<(usize, Fault)>) {
        let mut state = self.shared.lock();
        state.seen.clear();
        (state.at, state.struck, state.each) = (at, None, None);
        state.strikes.clear();
    }

    /// Strikes at each command that, as [`Self::seen`] has it, is one of these.
    pub fn arm_each(&self, fault: Fault, matches: impl Fn(&str) -> bool + Send + 'static) {
        self.arm(None);
        self.shared.lock().each = Some((Box::new(matches), fault));
    }

    /// The commands since it was armed.
    pub fn seen(&self) -> Vec<String> {
        self.shared.lock().seen.clone()
    }

    /// The command that was struck last.
    pub fn struck(&self) -> Option<String> {
        self.shared.lock().struck.clone()
    }

    /// Whether a reply is held back.
    pub fn is_holding(&self) -> bool {
        self.shared.lock().held
    }

    /// Lets the reply go that is held back.
    pub fn release(&self) {
        self.shared.lock().held = false;
        self.shared.changed.notify_all();
    }

    pub fn cut(&self) {
        self.shared.lock().cut();
        self.shared.changed.notify_all();
    }

    /// Whether new connections end at once.
    pub fn refuse(&self, refusing: bool) {
        self.shared.lock().refusing = refusing;
    }

    /// Whether commands wait.
    pub fn stop(&self, stopped: bool) {
        self.shared.lock().stopped = stopped;
        self.shared.changed.notify_all();
    }

    /// Nothing comes through any longer on the connections that listen at the moment, though they stay open.
    pub fn deafen_listening(&self) -> usize {
        let mut state = self.shared.lock();
        let State { deaf, listening, .. } = &mut *state;
        deaf.clone_from(listening);
        deaf.len()
    }

    /// When commands were struck.
    pub fn strikes(&self) -> Vec<Instant> {
        self.shared.lock().strikes.clone()
    }

    /// Everything passes from now on.
    pub fn pass(&self) {
        self.refuse(false);
        self.stop(false);
        self.arm(None);
        self.release();
    }
}

impl State {
    fn cut(&mut self) {
        for stream in self.open.drain().flat_map(|(_, streams)| streams) {
            // It may have ended already.
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.listening.clear();
        self.deaf.clear();
        self.held = false;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while(&self, condition: impl Fn(&mut State) -> bool) -> MutexGuard<'_, State> {
        self.changed.wait_while(self.lock(), condition).unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: &Arc<Self>, client: UnixStream, server: &Path) -> io::Result<()> {
        if self.lock().refusing {
            return Ok(());
        }
        let server = UnixStream::connect(server)?;
        let mut state = self.lock();
        let id = state.next;
        state.next += 1;
        state.open.insert(id, [client.try_clone()?, server.try_clone()?]);
        drop(state);
        let (to_server, to_client) = (server.try_clone()?, client.try_clone()?);
        let ((fates, of_replies), (answered, answers)) = (channel(), channel());
        self.spawn(id, move |all| all.commands(id, client, to_server, &fates, &answers));
        self.spawn(id, move |all| all.replies(id, server, to_client, &of_replies, &answered));
        Ok(())
    }

    fn spawn(self: &Arc<Self>, id: u64, work: impl FnOnce(&Self) -> io::Result<()> + Send + 'static) {
        let all = Arc::clone(self);
        thread::spawn(move || {
            // However it ends, the connection does.
            let _ = work(&all);
            let mut state = all.lock();
            for stream in state.open.remove(&id).into_iter().flatten() {
                let _ = stream.shutdown(Shutdown::Both);
            }
            state.listening.remove(&id);
            state.deaf.remove(&id);
        });
    }

    fn commands(
        &self,
        id: u64,
        client: UnixStream,
        mut server: UnixStream,
        fates: &Sender<Option<Fault>>,
        answers: &Receiver<()>,
    ) -> io::Result<()> {
        let mut client = BufReader::new(client);
        loop {
            let (raw, words) = read_value(&mut client)?;
            let mut state = self.wait_while(|state| state.stopped);
            if !state.open.contains_key(&id) {
                return Ok(());
            }
            if state.deaf.contains(&id) {
                continue;
            }
            if words.first().is_some_and(|word| word == b"PSUBSCRIBE") {
                state.listening.insert(id);
            }
            let text = shown(&words);
            state.seen.push(text.clone());
            let count = state.seen.len();
            let fate = state.at.filter(|(at, _)| *at == count).map(|(_, fault)| fault);
            let fate =
                fate.or_else(|| state.each.as_ref().filter(|(matches, _)| matches(&text)).map(|(_, fault)| *fault));
            if fate.is_some() {
                state.struck = Some(text);
                state.strikes.push(Instant::now());
            }
            if fate == Some(Fault::CutBefore) {
                state.cut();
                return Ok(());
            }
            drop(state);
            let closed = |_| io::Error::from(io::ErrorKind::BrokenPipe);
            fates.send(fate).map_err(|_| io::ErrorKind::BrokenPipe)?;
            server.write_all(&raw)?;
            answers.recv().map_err(closed)?;
        }
    }

    fn replies(
        &self,
        id: u64,
        server: UnixStream,
        mut client: UnixStream,
        fates: &Receiver<Option<Fault>>,
        answered: &Sender<()>,
    ) -> io::Result<()> {
        let mut server = BufReader::new(server);
        loop {
            let (raw, words) = read_value(&mut server)?;
            if words.first().is_some_and(|word| word == b"pmessage") {
                if !self.lock().deaf.contains(&id) {
                    client.write_all(&raw)?;
                }
                continue;
            }
            match fates.recv().map_err(|_| io::ErrorKind::BrokenPipe)? {
                Some(Fault::CutAfter | Fault::CutBefore) => {
                    self.lock().cut();
                    return Ok(());
                }
                Some(Fault::CutInReply) => {
                    client.write_all(&raw[..raw.len() / 2])?;
                    self.lock().cut();
                    return Ok(());
                }
                Some(Fault::CutBehind) => {
                    client.write_all(&raw)?;
                    let mut state = self.lock();
                    state.refusing = true;
                    state.cut();
                    return Ok(());
                }
                Some(Fault::Hold) => {
                    self.lock().held = true;
                    drop(self.wait_while(|state| state.held));
                    client.write_all(&raw)?;
                }
                None => client.write_all(&raw)?,
            }
            // The other side ended already, if nobody listens.
            let _ = answered.send(());
        }
    }
}

/// One command or reply: its bytes, and the strings in it.
fn read_value(stream: &mut impl BufRead) -> io::Result<(Vec<u8>, Vec<Vec<u8>>)> {
    let (mut raw, mut words) = (Vec::new(), Vec::new());
    let mut left = 1_usize;
    while left > 0 {
        left -= 1;
        let start = raw.len();
        if stream.read_until(b'\n', &mut raw)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = &raw[start..];
        let number = || std::str::from_utf8(&line[1..]).ok().and_then(|text| text.trim_end().parse::<i64>().ok());
        match (line[0], number()) {
            (b'*', Some(count)) => left += usize::try_from(count).unwrap_or(0),
            (b'$', Some(length @ 0..)) => {
                let from = raw.len();
                let length = usize::try_from(length).map_err(io::Error::other)?;
                raw.resize(from + length + 2, 0);
                stream.read_exact(&mut raw[from..])?;
                words.push(raw[from..from + length].to_vec());
            }
            _ => {}
        }
    }
    Ok((raw, words))
}

fn shown(words: &[Vec<u8>]) -> String {
    let text: Vec<String> = words.iter().take(6).map(|word| word.escape_ascii().to_string()).collect();
    let mut text = text.join(" ");
    text.truncate(200);
    text
}
