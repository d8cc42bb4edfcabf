//! `portsyncd watch`: the daemon and its ports, live in a terminal.
//!
//! [`view`] is the machine, [`draw`] shows it; here they are driven: by what the daemon tells, by keys, and once a second by
//! the clock. However much happens, no more than ten frames a second are drawn.

mod arrange;
mod draw;
mod event_log;
mod list;
mod screen;
mod view;

use std::io::{self, IsTerminal};
use std::time::Duration;

use anyhow::Context;
use crossterm::event::EventStream;
use futures_util::StreamExt;
use portsyncd::config::ControlConfig;
use portsyncd::control::{Control, ControlError, Event, Events};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use super::{CommandError, block_on, now, wants_colour};
use draw::Theme;
use screen::Screen;
use view::View;

/// Between two frames, at least.
const FRAME: Duration = Duration::from_millis(100);
/// What is shown in relative times goes on without the daemon.
const CLOCK: Duration = Duration::from_secs(1);
/// Between two attempts to reach a daemon that went.
const PAUSE: Duration = Duration::from_millis(500);
/// Events that were told and not looked at; the daemon begins anew with who lags behind further.
const AHEAD: usize = 16;

/// What comes from the daemon.
type EventResult = Result<Event, ControlError>;

/// Watches until somebody has seen enough. A daemon that is not there at the beginning is an error, later it is waited for.
pub fn run(config: &ControlConfig) -> anyhow::Result<bool> {
    let control = Control::new(config)?;
    if !io::stdout().is_terminal() {
        return Err(CommandError::NoTerminal.into());
    }
    block_on(async {
        let events = control.events().await?;
        let (tell, told) = mpsc::channel(AHEAD);
        let mut listener = JoinSet::new();
        listener.spawn(listen(control, events, tell));
        let ends = ends().context("cannot listen for signals")?;
        let screen = Screen::take().context("cannot draw on this terminal")?;
        watch(screen, told, ends).await.context("the terminal went away")?;
        Ok(true)
    })
}

/// Hands on what the daemon tells, and reaches it again and again when it went.
async fn listen(control: Control, mut events: Events, tell: mpsc::Sender<EventResult>) {
    loop {
        let error = loop {
            match events.next().await {
                Ok(event) => {
                    if tell.send(Ok(event)).await.is_err() {
                        return;
                    }
                }
                Err(error) => break error,
            }
        };
        let mut error = error;
        events = loop {
            if tell.send(Err(error)).await.is_err() {
                return;
            }
            sleep(PAUSE).await;
            match control.events().await {
                Ok(events) => break events,
                Err(again) => error = again,
            }
        };
    }
}

/// Signals that end this; left to themselves they would leave the terminal as it is.
fn ends() -> io::Result<[Signal; 4]> {
    use SignalKind as Kind;
    Ok([signal(Kind::terminate())?, signal(Kind::interrupt())?, signal(Kind::hangup())?, signal(Kind::quit())?])
}

async fn watch(mut screen: Screen, mut told: mpsc::Receiver<EventResult>, mut ends: [Signal; 4]) -> io::Result<()> {
    let theme = Theme { colour: wants_colour() };
    let mut view = View::default();
    let mut keys = EventStream::new();
    let mut clock = interval(CLOCK);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut drawn, mut changed) = (Instant::now(), true);
    loop {
        view.tick(now());
        let [terminate, interrupt, hangup, quit] = &mut ends;
        tokio::select! {
            key = keys.next() => match key {
                Some(Ok(crossterm::event::Event::Key(key))) => {
                    if view.key(key).is_break() {
                        return Ok(());
                    }
                }
                // Another size, as a rule.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            },
            told = told.recv() => match told {
                Some(Ok(event)) => view.event(event),
                Some(Err(error)) => view.lost(error.to_string()),
                None => return Ok(()),
            },
            () = sleep_until(drawn + FRAME), if changed => {
                screen.draw(&mut view, theme)?;
                (drawn, changed) = (Instant::now(), false);
                continue;
            }
            _ = clock.tick() => {}
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hangup.recv() => return Ok(()),
            _ = quit.recv() => return Ok(()),
        }
        changed = true;
    }
}

#[cfg(test)]
mod tests;
