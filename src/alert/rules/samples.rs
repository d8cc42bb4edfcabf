//! Whether a rule has the samples that it needs to fire, by how often it is evaluated.

use super::condition::{Condition, SAMPLES};
use super::error::RuleError;
use super::rule::Rule;
use super::table::Place;
use crate::alert::{Millis, span};

impl Rule {
    /// Refuses a rule that can never fire.
    pub(super) fn check_samples(&self, place: &Place, interval: Millis) -> Result<(), RuleError> {
        let every = span(super::condition::short(interval));
        let (key, window) = match self.condition {
            Condition::RateAbove { window, .. } | Condition::RateBelow { window, .. } => {
                ("condition.window", Some(window))
            }
            Condition::Anomaly { window, .. } => ("condition.anomaly.window", Some(window)),
            Condition::Trend { window, .. } => ("condition.trend.window", Some(window)),
            _ => ("", None),
        };
        let quantile = self.quantile().map(|quantile| ("condition.window", quantile.window));
        for (key, window) in window.map(|window| (key, window)).into_iter().chain(quantile) {
            if Millis::from(window) < 2 * interval {
                let problem = format!(
                    "at least {}: in less there are no two samples, for rules are evaluated every {every} \
                     (alerts.evaluation_interval)",
                    span(super::condition::short(2 * interval))
                );
                return Err(place.wrong(key, format!("{:?}", span(window)), problem));
            }
        }
        if let Condition::Anomaly { window, min_samples, .. } = self.condition {
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
