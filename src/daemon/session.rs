//! The connections to the databases' servers: opened beside the turning loop, each server by itself, so that one that is away
//! stops only what needs it.
//!
//! A server has one connection for each of its databases, one that listens, whose end tells of the server's at once, and,
//! where STATE_DB is, one that writes rows.

use std::cell::{RefCell, RefMut};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_util::future::{LocalBoxFuture, try_join_all};
use futures_util::stream::{self, FuturesUnordered, LocalBoxStream, SelectAll};
use futures_util::{FutureExt, StreamExt, try_join};
use tokio::time::Instant;
use tracing::warn;

use super::config_db::Channels;
use super::event_loop::Wakeup;
use super::peers::Peers;
use super::reconnect::Reconnect;
use super::timers::earlier;
use crate::db::StoreError;
use crate::db::listener::{self, Listener};
use crate::db::store::{Client, Store};
use crate::db::topology::Database;
use crate::db::writer::{self, RowWriter};
use crate::telemetry::labels::Db;

const DATABASES: [Db; 3] = [Db::Appl, Db::Config, Db::State];

pub(super) struct Databases {
    pub store: Store,
    pub servers: Vec<DatabaseServer>,
    clients: [Option<Rc<Client>>; 3],
    pub channels: Channels,
    pub peers: Peers,
    /// While STATE_DB can be reached.
    pub writing: Option<RowConnection>,
    opening: FuturesUnordered<LocalBoxFuture<'static, (usize, Result<Opened, StoreError>)>>,
    /// What the listeners hear. One that was not woken is not looked at.
    heard: SelectAll<LocalBoxStream<'static, Wakeup>>,
    /// A server is to be connected to.
    retrying: bool,
}

/// A server, and what it holds.
#[derive(Default)]
pub(super) struct DatabaseServer {
    pub databases: Vec<Db>,
    pub listening: Option<Listening>,
    pub reconnect: Reconnect,
    /// It was said that it tells of no changes.
    pub said_silent: bool,
    /// When to try again; `None` while it is there, or being connected to.
    retry_at: Option<Instant>,
}

pub(super) struct Listening {
    listener: Rc<RefCell<Listener>>,
    /// Whether the server tells of changes of hashes.
    pub notifies: bool,
    /// Whether it lets itself be listened to for changes of CONFIG_DB.
    pub to_config: bool,
    /// Whether it is listened to APPL_DB's rows of ports.
    pub to_ports: bool,
}

/// The connection for rows.
pub(super) struct RowConnection {
    pub writer: RowWriter,
    /// Compared with what stands there, so that rows may be written.
    pub compared: bool,
    /// When the batch under way was sent.
    pub sent: Option<Instant>,
}

struct Opened {
    clients: Vec<(Db, Client)>,
    listening: Listening,
    writer: Option<RowWriter>,
}

impl Databases {
    /// Knows the servers; connects to none yet.
    pub fn new(store: Store) -> Self {
        let mut servers: Vec<DatabaseServer> = Vec::new();
        for db in DATABASES {
            let address = &database(&store, db).address;
            match servers.iter_mut().find(|server| database(&store, server.databases[0]).address == *address) {
                Some(server) => server.databases.push(db),
                None => {
                    servers.push(DatabaseServer {
                        databases: vec![db],
                        retry_at: Some(Instant::now()),
                        ..DatabaseServer::default()
                    });
                }
            }
        }
        Self {
            channels: Channels::new(&store.topology),
            peers: Peers::new(),
            store,
            servers,
            clients: [None, None, None],
            writing: None,
            opening: FuturesUnordered::new(),
            heard: SelectAll::new(),
            retrying: true,
        }
    }

    /// Of a database, while it can be asked.
    pub fn client(&self, db: Db) -> Option<Rc<Client>> {
        self.clients[db as usize].clone()
    }

    pub fn is_up(&self, db: Db) -> bool {
        self.clients[db as usize].is_some()
    }

    pub fn are_up(&self) -> bool {
        self.clients.iter().all(Option::is_some)
    }

    /// Whether STATE_DB can be reached, and its rows were compared since.
    pub fn is_compared(&self) -> bool {
        self.writing.as_ref().is_some_and(|writing| writing.compared)
    }

    /// The server of a database.
    pub fn server_of(&self, db: Db) -> usize {
        self.servers.iter().position(|server| server.databases.contains(&db)).unwrap_or_default()
    }

    /// What listens to the server of a database.
    pub fn listening(&mut self, db: Db) -> Option<&mut Listening> {
        let server = self.server_of(db);
        self.servers[server].listening.as_mut()
    }

    /// Whether it is listened to APPL_DB's rows of ports.
    pub fn listens_to_ports(&self) -> bool {
        self.servers[self.server_of(Db::Appl)].listening.as_ref().is_some_and(|listening| listening.to_ports)
    }

    /// Where a server is, for messages.
    pub fn address(&self, server: usize) -> String {
        database(&self.store, self.servers[server].databases[0]).address.to_string()
    }

    /// Begins to connect to the servers whose time has come.
    pub fn connect_due(&mut self) {
        if !self.retrying {
            return;
        }
        let now = Instant::now();
        for (at, server) in self.servers.iter_mut().enumerate() {
            if server.retry_at.is_some_and(|retry_at| retry_at <= now) {
                server.retry_at = None;
                let has_config = server.databases.contains(&Db::Config);
                let patterns = if has_config { self.channels.config_patterns() } else { Vec::new() };
                let opened = open(self.store.clone(), server.databases.clone(), patterns, self.peers.name.clone());
                self.opening.push(opened.map(move |opened| (at, opened)).boxed_local());
            }
        }
        self.retrying = self.servers.iter().any(|server| server.retry_at.is_some());
    }

    /// The nearest moment at which [`connect_due`](Self::connect_due) or [`late`](Self::late) has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let writer = self.writing.as_ref().and_then(|writing| writing.writer.deadline());
        self.servers.iter().fold(writer, |nearest, server| {
            earlier(earlier(nearest, server.retry_at), server.listening.as_ref().and_then(Listening::deadline))
        })
    }

    /// A server that did not answer in time, rows or a listener.
    pub fn late(&self, now: Instant) -> Option<(usize, StoreError)> {
        let is_late = |deadline: Option<Instant>| deadline.is_some_and(|at| at <= now);
        let listener = |server: &DatabaseServer| is_late(server.listening.as_ref().and_then(Listening::deadline));
        if let Some(at) = self.servers.iter().position(listener) {
            return Some((at, StoreError::no_answer(listener::OPERATION)));
        }
        let writer = self.writing.as_ref().and_then(|writing| writing.writer.deadline());
        is_late(writer).then(|| (self.server_of(Db::State), StoreError::no_answer(writer::OPERATION)))
    }

    /// The next thing that is said of a server. Cancel safe: nothing is taken before it is handed on.
    pub async fn next(&mut self) -> Wakeup {
        poll_fn(|context| {
            if !self.opening.is_empty()
                && let Poll::Ready(Some((at, opened))) = self.opening.poll_next_unpin(context)
            {
                return Poll::Ready(match opened {
                    Ok(opened) => self.opened(at, opened),
                    Err(error) => Wakeup::Lost(at, error),
                });
            }
            if let Some(RowConnection { writer, .. }) = &mut self.writing
                && let Poll::Ready(outcome) = writer.poll_progress(context)
            {
                return Poll::Ready(match outcome {
                    Ok(()) => Wakeup::Replies,
                    Err(error) => Wakeup::Lost(self.server_of(Db::State), error),
                });
            }
            match self.heard.poll_next_unpin(context) {
                Poll::Ready(Some(event)) => Poll::Ready(event),
                _ => Poll::Pending,
            }
        })
        .await
    }

    fn opened(&mut self, at: usize, opened: Opened) -> Wakeup {
        let Opened { clients, listening, writer } = opened;
        for (db, client) in clients {
            self.clients[db as usize] = Some(Rc::new(client));
        }
        self.heard.push(heard(at, &listening.listener));
        self.servers[at].listening = Some(listening);
        if let Some(writer) = writer {
            self.writing = Some(RowConnection { writer, compared: false, sent: None });
        }
        Wakeup::Connected(at)
    }

    /// Gives a server's connections up, to try again later. What is given back wrote rows.
    pub fn give_up(&mut self, at: usize, address: &str, error: &StoreError) -> Option<RowConnection> {
        self.retrying = true;
        let server = &mut self.servers[at];
        server.listening = None;
        server.retry_at = Some(Instant::now() + server.reconnect.attempt_failed(address, error));
        for db in &server.databases {
            self.clients[*db as usize] = None;
        }
        let writing = if server.databases.contains(&Db::State) { self.writing.take() } else { None };
        let others = self.servers.iter().enumerate();
        let others = others.filter_map(|(at, server)| Some(heard(at, &server.listening.as_ref()?.listener)));
        self.heard = others.collect();
        writing
    }
}

impl Listening {
    pub fn listener(&self) -> RefMut<'_, Listener> {
        self.listener.borrow_mut()
    }

    fn deadline(&self) -> Option<Instant> {
        self.listener.borrow().deadline()
    }
}

/// What a listener hears, to its end.
fn heard(at: usize, listener: &Rc<RefCell<Listener>>) -> LocalBoxStream<'static, Wakeup> {
    let listener = Rc::clone(listener);
    let next = move |context: &mut Context<'_>| listener.borrow_mut().poll_next(context).map(Some);
    stream::poll_fn(next)
        .map(move |heard| heard.map_or_else(|error| Wakeup::Lost(at, error), Wakeup::Heard))
        .boxed_local()
}

fn database(store: &Store, db: Db) -> &Database {
    let topology = &store.topology;
    match db {
        Db::Appl => &topology.appl,
        Db::Config => &topology.config,
        Db::State => &topology.state,
    }
}

async fn open(store: Store, databases: Vec<Db>, patterns: Vec<Vec<u8>>, name: String) -> Result<Opened, StoreError> {
    let clients = try_join_all(databases.iter().map(|db| store.client(database(&store, *db))));
    let writer = async { if databases.contains(&Db::State) { store.writer().await.map(Some) } else { Ok(None) } };
    let (clients, mut listener, writer) = try_join!(clients, store.listener(database(&store, databases[0])), writer)?;
    for pattern in &patterns {
        listener.subscribe(pattern);
    }
    let naming = async {
        match databases.iter().position(|db| *db == Db::State) {
            Some(at) => clients[at].set_name(&name).await,
            None => Ok(()),
        }
    };
    let (refusal, notifies, ()) = try_join!(listener.settle(), clients[0].notifies(), naming)?;
    if let Some(refusal) = &refusal {
        let patterns: Vec<_> = patterns.iter().map(|pattern| pattern.escape_ascii().to_string()).collect();
        warn!(
            reason = %refusal, patterns = patterns.join(" "),
            "Redis refuses to tell of changes in CONFIG_DB, they are seen at the next audit; allow PSUBSCRIBE on these channels"
        );
    }
    let listener = Rc::new(RefCell::new(listener));
    let clients = databases.into_iter().zip(clients).collect();
    Ok(Opened {
        clients,
        listening: Listening { listener, notifies, to_config: refusal.is_none(), to_ports: false },
        writer,
    })
}
