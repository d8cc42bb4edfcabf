//! What is going on, over HTTP: read only on TCP (plain or TLS); the control socket, which is the daemon's user's alone, also
//! takes silences.
//!
//! Runs on the thread beside the core. Every connection is bounded: in the size of what it sends, and in how long it may take
//! to send or to take in; of those that only wait the oldest goes when there are too many. Answers that cost something are made once for all who ask within a fraction of a second.

mod answers;
mod connections;
mod credentials;
mod gzip;
mod hosts;
mod listen;
mod route;
mod stream;
pub mod tls;

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::alert::evaluator::Evaluator;
use crate::config::{ControlConfig, HttpConfig};
use crate::status::collector::Reader;
use crate::telemetry::Telemetry;
use answers::Answers;
use stream::ChangeStream;

/// What every connection is served from.
pub struct Service {
    reader: Arc<Reader>,
    evaluator: Arc<Evaluator>,
    answers: Answers,
    stream: ChangeStream,
    exposed: ExpositionHook,
}

/// Called when `/metrics` was made and before it is shown.
pub type ExpositionHook = Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

impl Service {
    /// Serves what this reads.
    pub fn new(reader: Arc<Reader>, evaluator: Arc<Evaluator>, exposed: ExpositionHook) -> Arc<Self> {
        let stream = ChangeStream::new(Arc::clone(&reader), Arc::clone(&evaluator));
        Arc::new(Self { answers: Answers::default(), stream, reader, evaluator, exposed })
    }

    fn telemetry(&self) -> &Telemetry {
        self.reader.telemetry()
    }
}

/// Serves until it is dropped. What cannot be listened on is tried again.
pub async fn serve(service: Arc<Service>, http: &HttpConfig, control: &ControlConfig) {
    tokio::join!(listen::tcp(&service, http), listen::unix(&service, &control.socket), service.stream.run());
}
