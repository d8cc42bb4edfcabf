//! What a running switch can be told: lines on standard input, each answered by a line of JSON on standard output.

use std::io::BufRead;
use std::str::FromStr;

use anyhow::{Context, bail};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tracing::warn;

const KNOWN: &str = "orchagent, orchagent-restart, breakout PORT NUMBER";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Say what orchagent was handed.
    Orchagent,
    /// Another orchagent begins, while `APPL_DB` stays as it is.
    OrchagentRestart,
    /// One port is removed, so many come in its place.
    Breakout(String, usize),
}

impl FromStr for Command {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> anyhow::Result<Self> {
        Ok(match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["orchagent"] => Self::Orchagent,
            ["orchagent-restart"] => Self::OrchagentRestart,
            ["breakout", port, into] => {
                Self::Breakout(port.to_owned(), into.parse().with_context(|| format!("{into:?} is no number"))?)
            }
            _ => bail!("{line:?} is no command; there are: {KNOWN}"),
        })
    }
}

/// Commands from standard input, until that is closed. Lines that are none are told and left out.
pub fn read() -> UnboundedReceiver<Command> {
    let (tell, told) = unbounded_channel();
    // A thread: standard input can be anything, also what no runtime can wait for.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok).filter(|line| !line.trim().is_empty()) {
            match line.parse() {
                Ok(command) => {
                    if tell.send(command).is_err() {
                        return;
                    }
                }
                Err(error) => {
                    warn!(error = format!("{error:#}"), "not a command, ignored");
                    answer(&serde_json::json!({ "error": format!("{error:#}") }));
                }
            }
        }
    });
    told
}

#[expect(clippy::print_stdout, reason = "the command's answer")]
pub fn answer(answer: &serde_json::Value) {
    println!("{answer}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_commands_or_say_what_would_be_one() {
        assert_eq!("orchagent".parse::<Command>().unwrap(), Command::Orchagent);
        assert_eq!(" orchagent-restart ".parse::<Command>().unwrap(), Command::OrchagentRestart);
        let breakout = Command::Breakout("Ethernet0".to_owned(), 4);
        assert_eq!("breakout Ethernet0 4".parse::<Command>().unwrap(), breakout);
        for wrong in ["", "breakout Ethernet0", "breakout Ethernet0 four", "restart"] {
            assert!(wrong.parse::<Command>().is_err(), "{wrong}");
        }
        let error = "restart".parse::<Command>().unwrap_err().to_string();
        assert!(error.contains("orchagent-restart"), "{error}");
    }
}
