//! Numbers out of many numbers.

/// The value below which `percent` of the sorted values lie (nearest rank); 0 of none.
pub fn percentile(sorted: &[u64], percent: u8) -> u64 {
    let rank = (sorted.len() * usize::from(percent)).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// The value in the middle; none of none.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.as_slice() {
        [] => None,
        _ if sorted.len() % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// Within which bounds the median of what these are samples of lies in 95 of 100 cases, whatever their distribution (by the
/// binomial distribution of how many of them lie below it). Of less than six values it is from the least to the greatest.
pub fn median_bounds(values: &[f64]) -> Option<(f64, f64)> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let count = sorted.len();
    // The probability of exactly, and of at most, `below` of them below it.
    let mut exactly = 0.5_f64.powi(i32::try_from(count).ok()?);
    let (mut below, mut at_most) = (0, exactly);
    while at_most <= 0.025 && below < count / 2 {
        below += 1;
        exactly *= float((count - below + 1) as u64) / float(below as u64);
        at_most += exactly;
    }
    let first = below.saturating_sub(1);
    Some((*sorted.get(first)?, *sorted.get(count - 1 - first)?))
}

/// The median of `a / b` round by round: what changes from round to round, such as the machine's speed, hits both of a pair.
/// Rounds that one of them lacks do not count.
pub fn paired_ratio(a: &[Option<f64>], b: &[Option<f64>]) -> Option<f64> {
    median(&ratios(a, b))
}

/// `a / b` round by round.
pub fn ratios(a: &[Option<f64>], b: &[Option<f64>]) -> Vec<f64> {
    let pairs = a.iter().zip(b).filter_map(|(a, b)| Some(((*a)?, (*b)?)));
    pairs.filter(|(_, b)| *b > 0.0).map(|(a, b)| a / b).collect()
}

/// A whole number as one that can be divided; exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "nothing here counts up to 2^53")]
pub fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!([0, 1, 50, 95, 99, 100].map(|p| percentile(&hundred, p)), [1, 1, 50, 95, 99, 100]);
        assert_eq!([50, 99].map(|p| percentile(&[7], p)), [7, 7]);
        assert_eq!(percentile(&[1, 2, 3], 50), 2);
        assert_eq!(percentile(&[], 50), 0);
    }

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn the_median_lies_within_its_bounds() {
        assert_eq!(median_bounds(&[]), None);
        assert_eq!(median_bounds(&[7.0]), Some((7.0, 7.0)));
        assert_eq!(median_bounds(&[3.0, 1.0, 2.0]), Some((1.0, 3.0)));
        // The ranks of published tables: 3 and 10 of 12, 6 and 15 of 20, 40 and 61 of 100.
        for (count, bounds) in [(6, (1.0, 6.0)), (12, (3.0, 10.0)), (20, (6.0, 15.0)), (100, (40.0, 61.0))] {
            let values: Vec<f64> = (1..=count).rev().map(f64::from).collect();
            assert_eq!(median_bounds(&values), Some(bounds), "{count}");
        }
        let many: Vec<f64> = (1..=5000).map(f64::from).collect();
        let (low, high) = median_bounds(&many).unwrap();
        assert!(low <= 2500.5 && high >= 2500.5);
    }

    #[test]
    fn a_slow_round_slows_both_of_a_pair() {
        let a = [Some(2.0), Some(20.0), Some(2.2), None];
        let b = [Some(1.0), Some(10.0), Some(1.0), Some(1.0)];
        assert_eq!(paired_ratio(&a, &b), Some(2.0));
        assert_eq!(paired_ratio(&a, &[None, None, None, Some(1.0)]), None);
        assert_eq!(paired_ratio(&[Some(1.0)], &[Some(0.0)]), None);
    }
}
