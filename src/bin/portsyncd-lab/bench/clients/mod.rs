//! Clients of a daemon's HTTP, all in one process beside the one that measures: a third of them ask for `/metrics` and a third
//! for `/api/v1/ports`, once a second on a connection that stays open, and the others hold the page's stream open.
//!
//! In: a line on standard input when what counts begins; its end is the end. Out: a [`Report`] on standard output. The clients
//! take processor time from what is measured, as others do on a switch; so they read into one buffer, look at what comes as far
//! as it takes to tell whether it is right, and keep nothing.

mod events;
mod http;

use std::cell::RefCell;
use std::io::{BufRead, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream as Blocking};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tokio::time::{sleep, sleep_until};

use events::Events;
use http::{Answer, Chunks, Head, Length};

/// Where a daemon serves HTTP unless it is told otherwise.
const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9477);
/// How often a client asks; all of them begin within so long.
pub const PERIOD: Duration = Duration::from_secs(1);
/// For whoever listens there to show that it is HTTP.
const HTTP_LIMIT: Duration = Duration::from_secs(2);
const BUFFER: usize = 256 * 1024;

/// Clients of HTTP; what the worker starts
#[derive(Debug, clap::Args)]
pub struct Args {
    #[arg(long)]
    count: usize,
}

/// What clients saw since what counts began; what went wrong since they were started.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// For how long.
    pub nanoseconds: u64,
    /// From before a request until the last byte of its answer, for each request for `/metrics`.
    pub metrics_ns: Vec<u64>,
    /// The same for `/api/v1/ports`.
    pub ports_ns: Vec<u64>,
    /// Events of all streams.
    pub events: u64,
    /// Those of them that told of all ports: a client had fallen behind.
    pub wholes: u64,
    /// Bytes read.
    pub bytes: u64,
    /// CPU time of all clients.
    pub cpu_ns: u64,
    /// Things that were not as they should be.
    pub errors: u64,
    /// The first of them.
    pub first_error: Option<String>,
    /// Clients that never got an answer.
    pub silent: usize,
}

/// Whether somebody answers in HTTP.
pub fn is_served() -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = Blocking::connect_timeout(&ADDRESS, HTTP_LIMIT)?;
        stream.set_read_timeout(Some(HTTP_LIMIT))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut beginning = [0; 7];
        stream.read_exact(&mut beginning)?;
        Ok(beginning == *b"HTTP/1.")
    };
    ask().unwrap_or(false)
}

/// The process.
#[expect(clippy::print_stdout, reason = "the way to the parent")]
pub fn main(args: &Args) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = LocalSet::new().block_on(&runtime, run(args.count))?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(ExitCode::SUCCESS)
}

async fn run(count: usize) -> anyhow::Result<Report> {
    let seen = Rc::new(RefCell::new(Seen::default()));
    let step = PERIOD / u32::try_from(count)?;
    for client in (0..u32::try_from(count)?).rev() {
        tokio::task::spawn_local(one(Rc::clone(&seen), client, step * client));
    }
    let mut lines = lines();
    let mut began = (Instant::now(), cpu_ns()?);
    while lines.recv().await.is_some() {
        began = (Instant::now(), cpu_ns()?);
        seen.borrow_mut().begin();
    }
    let seen = seen.borrow();
    let mut report = seen.report.clone();
    report.nanoseconds = nanoseconds(began.0.elapsed());
    report.cpu_ns = cpu_ns()?.saturating_sub(began.1);
    report.silent = count - seen.answered.len();
    Ok(report)
}

/// The lines of standard input.
fn lines() -> mpsc::UnboundedReceiver<()> {
    let (tell, told) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for _ in std::io::stdin().lock().lines().map_while(Result::ok) {
            if tell.send(()).is_err() {
                break;
            }
        }
    });
    told
}

/// What all clients have in common.
struct Seen {
    report: Report,
    answered: std::collections::HashSet<u32>,
    buffer: Vec<u8>,
}

impl Default for Seen {
    fn default() -> Self {
        Self { report: Report::default(), answered: std::collections::HashSet::new(), buffer: vec![0; BUFFER] }
    }
}

impl Seen {
    fn begin(&mut self) {
        let Report { errors, first_error, .. } = std::mem::take(&mut self.report);
        self.report = Report { errors, first_error, ..Report::default() };
    }

    fn failed(&mut self, error: &anyhow::Error) {
        self.report.errors += 1;
        self.report.first_error.get_or_insert_with(|| format!("{error:#}"));
    }
}

/// One client, from `delay` on; after an error it comes again.
async fn one(seen: Rc<RefCell<Seen>>, client: u32, delay: Duration) {
    sleep(delay).await;
    loop {
        let outcome = match client % 3 {
            0 => ask(&seen, client, "/metrics", (b'#', b'\n'), |report| &mut report.metrics_ns).await,
            1 => ask(&seen, client, "/api/v1/ports", (b'{', b'}'), |report| &mut report.ports_ns).await,
            _ => listen(&seen, client).await,
        };
        if let Err(error) = outcome {
            seen.borrow_mut().failed(&error);
        }
        sleep(PERIOD).await;
    }
}

/// Asks once a second.
async fn ask(
    seen: &RefCell<Seen>,
    client: u32,
    path: &str,
    ends: (u8, u8),
    times: fn(&mut Report) -> &mut Vec<u64>,
) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(ADDRESS).await.context("cannot connect")?;
    loop {
        let asked = Instant::now();
        request(&mut stream, path).await?;
        let mut answer = Answer::new(ends);
        while !read(&stream, seen, |_, bytes| answer.take(bytes)).await.context(path.to_owned())? {}
        let took = nanoseconds(asked.elapsed());
        seen.borrow_mut().answered.insert(client);
        times(&mut seen.borrow_mut().report).push(took);
        sleep_until((asked + PERIOD).into()).await;
    }
}

/// Listens to the stream.
async fn listen(seen: &RefCell<Seen>, client: u32) -> anyhow::Result<()> {
    let path = "/api/v1/events";
    let mut stream = TcpStream::connect(ADDRESS).await.context("cannot connect")?;
    request(&mut stream, path).await?;
    let (mut head, mut chunks, mut events) = (Some(Head::default()), Chunks::default(), Events::default());
    loop {
        let take = |report: &mut Report, mut bytes: &[u8]| {
            if let Some(reading) = &mut head {
                match reading.take(bytes)? {
                    None => return Ok(false),
                    Some((Length::Known(_), _)) => bail!("a stream that says how long it is"),
                    Some((Length::Chunked, used)) => {
                        head = None;
                        bytes = &bytes[used..];
                    }
                }
            }
            let before = (events.complete, events.wholes);
            chunks.take(bytes, |bytes| events.take(bytes))?;
            report.events += events.complete - before.0;
            report.wholes += events.wholes - before.1;
            Ok(events.complete > before.0)
        };
        if read(&stream, seen, take).await.context(path)? {
            seen.borrow_mut().answered.insert(client);
        }
    }
}

async fn request(stream: &mut TcpStream, path: &str) -> anyhow::Result<()> {
    let text = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stream.write_all(text.as_bytes()).await.context("cannot send a request")
}

/// Reads once, as much as there is.
async fn read<T>(
    stream: &TcpStream,
    seen: &RefCell<Seen>,
    take: impl FnOnce(&mut Report, &[u8]) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    loop {
        stream.readable().await.context("cannot read")?;
        let Seen { report, buffer, .. } = &mut *seen.borrow_mut();
        match stream.try_read(buffer) {
            Ok(0) => bail!("the connection was closed"),
            Ok(length) => {
                report.bytes += length as u64;
                return take(report, &buffer[..length]);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("cannot read"),
        }
    }
}

fn cpu_ns() -> anyhow::Result<u64> {
    let time = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).context("cannot read the time of this process")?;
    Ok(nanoseconds(Duration::from(time)))
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
