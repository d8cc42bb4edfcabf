//! Whether a rule has the samples that it needs to fire, by how often it is evaluated.

use super::condition::{Function, SAMPLES};
use super::error::{RuleError, RulePlace};
use super::rule::Rule;
use crate::alert::{Millis, span};

impl Rule {
    /// Refuses a rule that can never fire.
    pub(super) fn check_samples(&self, place: &RulePlace, interval: Millis) -> Result<(), RuleError> {
        let every = span(short(interval));
        let function = self.condition.function;
        let (key, window) = match function {
            Function::Rate { window } => ("condition.window", Some(window)),
            Function::Score { window, .. } => ("condition.anomaly.window", Some(window)),
            Function::Forecast { window, .. } => ("condition.trend.window", Some(window)),
            Function::Value | Function::Age { .. } => ("", None),
        };
        let quantile = self.quantile().map(|quantile| ("condition.window", quantile.window));
        for (key, window) in window.map(|window| (key, window)).into_iter().chain(quantile) {
            if Millis::from(window) < 2 * interval {
                let problem = format!(
                    "at least {}: in less there are no two samples, for rules are evaluated every {every} \
                     (alerts.evaluation_interval)",
                    span(short(2 * interval))
                );
                return Err(place.wrong(key, format!("{:?}", span(window)), problem));
            }
        }
        if let Function::Score { window, min_samples } = function {
            // Both ends of the window belong to it; growth is from one sample to the next.
            let ends = Millis::from(!self.metric.is_counter());
            let most = (Millis::from(window) / interval + ends).min(SAMPLES);
            if Millis::from(min_samples) > most {
                let problem = format!(
                    "at most {most}, or the condition never holds: a window of {} has no more samples, evaluated every {every} \
                     (alerts.evaluation_interval)",
                    span(window)
                );
                return Err(place.wrong("condition.anomaly.min_samples", min_samples, problem));
            }
        }
        Ok(())
    }
}

/// No rule has a longer time.
fn short(time: Millis) -> u32 {
    u32::try_from(time).unwrap_or(u32::MAX)
}
