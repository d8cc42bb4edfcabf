//! Bounded waiting for a condition, in place of sleeps: it comes back as soon as the condition holds, and says what was
//! waited for if it never did.

use std::thread;
use std::time::{Duration, Instant};

use super::Error;

/// How often a condition is looked at.
const STEP: Duration = Duration::from_millis(2);

/// Waits until `condition` holds, at most for `limit`; blocks the thread.
pub fn until(what: impl Into<String>, limit: Duration, mut condition: impl FnMut() -> bool) -> Result<(), Error> {
    until_some(what, limit, || condition().then_some(()))
}

/// Waits until `value` gives something, at most for `limit`; blocks the thread.
pub fn until_some<T>(
    what: impl Into<String>,
    limit: Duration,
    mut value: impl FnMut() -> Option<T>,
) -> Result<T, Error> {
    let start = Instant::now();
    loop {
        if let Some(found) = value() {
            return Ok(found);
        }
        if start.elapsed() >= limit {
            return Err(Error::Timeout { what: what.into(), limit });
        }
        thread::sleep(STEP);
    }
}

/// Waits until the future made by `condition` says true, at most for `limit`; other tasks run meanwhile. A look that
/// itself hangs is cut off by the limit too.
pub async fn until_async<F>(
    what: impl Into<String>,
    limit: Duration,
    mut condition: impl FnMut() -> F,
) -> Result<(), Error>
where
    F: Future<Output = bool>,
{
    let poll = async {
        while !condition().await {
            tokio::time::sleep(STEP).await;
        }
    };
    tokio::time::timeout(limit, poll).await.map_err(|_| Error::Timeout { what: what.into(), limit })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_as_soon_as_the_condition_holds() {
        let mut looks = 0;
        until("third look", Duration::from_secs(10), || {
            looks += 1;
            looks == 3
        })
        .unwrap();
        assert_eq!(looks, 3);
    }

    #[test]
    fn says_what_it_waited_for() {
        let error = until("the end of days", Duration::from_millis(5), || false).unwrap_err();
        assert_eq!(error.to_string(), "waited 5ms in vain for the end of days");
    }

    #[tokio::test]
    async fn a_hanging_look_is_cut_off() {
        let result = until_async("nothing", Duration::from_millis(5), std::future::pending).await;
        assert!(matches!(result, Err(Error::Timeout { .. })));
    }
}
