//! The notation of promtool for the values of a series: `0+1x10 _ 5x3`.
//!
//! `1` is a value, `_` or `stale` none, `_x3` none three times. `5x3` is 5 and then 5 three times more; `0+2x3` is 0, 2, 4, 6 and
//! `9-3x2` is 9, 6, 3.

/// Values that a series may have: more is a slip.
const MOST: usize = 100_000;

/// The values, one for each interval; `None`: no value.
pub(in crate::alert) fn expand(text: &str) -> Result<Vec<Option<f64>>, String> {
    let mut values = Vec::new();
    for item in text.split_whitespace() {
        let one = item_values(item).ok_or_else(|| {
            format!("{item:?}: a number, _ for none, or repeated: 5x3, 0+2x10 (start, step and how often), 9-3x2, _x4")
        })?;
        let (start, step, more) = one;
        if more >= MOST || values.len() + more >= MOST {
            return Err(format!("{item:?}: more than {MOST} values"));
        }
        for repeat in 0..=more {
            #[expect(clippy::cast_precision_loss, reason = "at most a hundred thousand")]
            values.push(start.map(|start| start + step * repeat as f64));
        }
    }
    Ok(values)
}

/// The first value, what is added each time, and how many more follow.
fn item_values(item: &str) -> Option<(Option<f64>, f64, usize)> {
    let count = |text: &str| text.parse::<usize>().ok();
    if let Some(rest) = item.strip_prefix('_') {
        let more = if rest.is_empty() { 1 } else { count(rest.strip_prefix('x')?)? };
        // `_x3` is three times, not once and three times more; none at all is nothing.
        return Some((None, 0.0, more.checked_sub(1)?));
    }
    if item == "stale" {
        return Some((None, 0.0, 0));
    }
    let Some((values, times)) = item.rsplit_once('x') else { return Some((Some(number(item)?), 0.0, 0)) };
    let more = count(times)?;
    // The sign between start and step is neither the first character nor that of an exponent.
    let bytes = values.as_bytes();
    let sign = (1..bytes.len()).rev().find(|at| b"+-".contains(&bytes[*at]) && !b"eE+-".contains(&bytes[at - 1]));
    match sign {
        Some(at) => Some((Some(number(&values[..at])?), number(&values[at..])?, more)),
        None => Some((Some(number(values)?), 0.0, more)),
    }
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_expand_as_promtool_does() {
        for (text, wanted) in [
            ("", vec![]),
            ("1 2.5 -3", vec![Some(1.0), Some(2.5), Some(-3.0)]),
            ("5x3", vec![Some(5.0); 4]),
            ("0+2x3", vec![Some(0.0), Some(2.0), Some(4.0), Some(6.0)]),
            ("9-3x2 1", vec![Some(9.0), Some(6.0), Some(3.0), Some(1.0)]),
            ("-1-1x1", vec![Some(-1.0), Some(-2.0)]),
            ("1e-3+1e-3x1", vec![Some(0.001), Some(0.002)]),
            ("_ 1 _x2 stale", vec![None, Some(1.0), None, None, None]),
            ("7x0", vec![Some(7.0)]),
        ] {
            assert_eq!(expand(text).unwrap(), wanted, "{text}");
        }
    }

    #[test]
    fn slips_are_told() {
        for text in ["a", "1+x3", "1x", "_x", "_x0", "1x-2", "nan", "0+1x1000000", "99999999999999999999x1x"] {
            let error = expand(text).unwrap_err();
            assert!(error.starts_with('"'), "{text}: {error}");
        }
    }
}
