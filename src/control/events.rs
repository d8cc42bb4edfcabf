//! The stream of events: the whole first, then what changes.

use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::sse::{Message, Parser};
use super::{Control, ControlError, LONGEST};
use crate::alert::api::AlertView;
use crate::api::{PortChanges, PortList, Sample, Status};

/// The daemon tells something every second. Where it does not for so many times an answer's time it hangs.
const SILENCE: u32 = 3;

/// Something that the daemon told.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// How the daemon stands.
    Status(Box<Status>),
    /// Every port: at the beginning, and whenever all is to begin anew.
    Ports(PortList),
    /// What changed of the ports.
    Change(PortChanges),
    /// Rates and latencies of the last second.
    Sample(Sample),
    /// Every alert that is not inactive.
    Alerts(Vec<AlertView>),
}

/// See the module. Ends its connection when it is dropped.
#[derive(Debug)]
pub struct Events {
    control: Control,
    path: &'static str,
    body: Incoming,
    /// Held because dropping it ends the connection.
    _connection: JoinSet<()>,
    parser: Parser,
    heard: Instant,
}

impl Events {
    pub(super) fn new(control: Control, path: &'static str, body: Incoming, connection: JoinSet<()>) -> Self {
        let parser = Parser::new(LONGEST);
        Self { control, path, body, _connection: connection, parser, heard: Instant::now() }
    }

    /// The next event; those of kinds that are not known are left out. Never ends but by an error.
    ///
    /// Cancel safe: what came stays for the next call.
    pub async fn next(&mut self) -> Result<Event, ControlError> {
        loop {
            let message = self.parser.next().map_err(|_| self.control.too_long(self.path))?;
            if let Some(message) = message {
                let event = event(&message).map_err(|cause| self.control.format(self.path, cause))?;
                match event {
                    Some(event) => return Ok(event),
                    None => continue,
                }
            }
            let patience = self.control.patience * SILENCE;
            let frame = timeout_at(self.heard + patience, self.body.frame())
                .await
                .map_err(|_| self.control.silent(self.path, patience))?
                .ok_or_else(|| self.control.broken_off(self.path, &"the stream has ended"))?
                .map_err(|cause| self.control.broken_off(self.path, &cause))?;
            self.heard = Instant::now();
            if let Some(data) = frame.data_ref() {
                self.parser.push(data);
            }
        }
    }
}

fn event(message: &Message) -> Result<Option<Event>, serde_json::Error> {
    fn read<T: DeserializeOwned>(message: &Message) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&message.data)
    }
    Ok(Some(match message.event.as_str() {
        "status" => Event::Status(read(message)?),
        "ports" => Event::Ports(read(message)?),
        "change" => Event::Change(read(message)?),
        "sample" => Event::Sample(read(message)?),
        // They are beside the point: a shape that is not known costs only them.
        "alerts" => return Ok(read(message).ok().map(Event::Alerts)),
        _ => return Ok(None),
    }))
}
