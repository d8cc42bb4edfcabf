//! The open connections of a listener: so many at once, and always room for one more.
//!
//! When all places are taken, the connection that came first gives its place to the new one. So nobody who holds connections
//! without using them keeps a probe or a scrape out. Streams are meant to last and keep their places, for which they have at
//! most half of them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{AbortHandle, JoinSet};

#[derive(Debug)]
pub(super) struct Connections {
    places: usize,
    open: VecDeque<(AbortHandle, Lasting)>,
    tasks: JoinSet<()>,
    streams: Arc<Semaphore>,
}

/// A connection's right to stream, used or not.
#[derive(Clone, Debug)]
pub(super) struct Lasting {
    is_used: Arc<AtomicBool>,
    streams: Arc<Semaphore>,
}

impl Lasting {
    /// A place among the streams, held until it is dropped; `None` if there are too many of them.
    pub fn stream(&self) -> Option<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.streams).try_acquire_owned().ok()?;
        self.is_used.store(true, Ordering::Relaxed);
        Some(place)
    }
}

impl Connections {
    pub fn new(places: usize) -> Self {
        let streams = Arc::new(Semaphore::new((places / 2).max(1)));
        Self { places, open: VecDeque::new(), tasks: JoinSet::new(), streams }
    }

    /// Serves another one. True if the oldest had to go for it.
    pub fn serve<F: Future<Output = ()> + Send + 'static>(&mut self, serve: impl FnOnce(Lasting) -> F) -> bool {
        while self.tasks.try_join_next().is_some() {}
        self.open.retain(|(task, _)| !task.is_finished());
        let oldest = self.open.iter().position(|(_, lasting)| !lasting.is_used.load(Ordering::Relaxed));
        let evicted = if self.open.len() < self.places { None } else { oldest.and_then(|at| self.open.remove(at)) };
        if let Some((task, _)) = &evicted {
            task.abort();
        }
        let lasting = Lasting { is_used: Arc::default(), streams: Arc::clone(&self.streams) };
        let task = self.tasks.spawn(serve(lasting.clone()));
        self.open.push_back((task, lasting));
        evicted.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use tokio::sync::mpsc;

    #[tokio::test]
    async fn the_oldest_goes_for_a_new_one_unless_it_streams() {
        struct Says(mpsc::UnboundedSender<u8>, u8);
        impl Drop for Says {
            fn drop(&mut self) {
                let _ = self.0.send(self.1);
            }
        }
        let (gone, mut went) = mpsc::unbounded_channel();
        let mut connections = Connections::new(3);
        let mut serve = |number: u8, streams: bool| {
            let says = Says(gone.clone(), number);
            connections.serve(move |lasting| async move {
                let _says = says;
                let _stream = streams.then(|| lasting.stream().unwrap());
                assert!(!streams || lasting.stream().is_none(), "one stream is half of three places");
                pending::<()>().await;
            })
        };
        for (number, streams) in [(0, true), (1, false), (2, false)] {
            assert!(!serve(number, streams));
            tokio::task::yield_now().await;
        }
        assert!(serve(3, false));
        assert_eq!(went.recv().await, Some(1));
        assert!(serve(4, false));
        assert_eq!(went.recv().await, Some(2));
        assert!(went.try_recv().is_err());
    }
}
