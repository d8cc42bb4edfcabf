//! Times in humantime's words, none longer than a year: what is added to a clock has to stay a time.

use std::time::Duration;

use humantime_serde::Serde;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest time that can be configured.
pub const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A time, or none.
pub trait Time: Copy {
    fn length(self) -> Duration;
}

impl Time for Duration {
    fn length(self) -> Duration {
        self
    }
}

impl Time for Option<Duration> {
    fn length(self) -> Duration {
        self.unwrap_or_default()
    }
}

/// For `#[serde(with)]`.
pub fn serialize<T: Time, S: Serializer>(time: &T, serializer: S) -> Result<S::Ok, S::Error>
where
    Serde<T>: Serialize,
{
    Serde::from(*time).serialize(serializer)
}

/// For `#[serde(with)]`.
pub fn deserialize<'de, T: Time, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error>
where
    Serde<T>: Deserialize<'de>,
{
    let time = Serde::<T>::deserialize(deserializer)?.into_inner();
    if time.length() > LONGEST {
        let shown = humantime::format_duration(time.length()).to_string();
        return Err(D::Error::custom(format_args!("{shown:?} is too long, at most \"365days\"")));
    }
    Ok(time)
}

/// Reads a time that stands on the command line.
pub fn parse(text: &str) -> Result<Duration, String> {
    let time =
        humantime::parse_duration(text).map_err(|error| format!("{error}; a duration like 30m, 2h or \"1h 30m\""))?;
    if time > LONGEST { Err("at most 365days".to_owned()) } else { Ok(time) }
}
