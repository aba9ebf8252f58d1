//! Many measurements of one thing.

use serde::{Deserialize, Serialize};

/// Measurements, in the unit of their row.
#[derive(Clone, Debug, Default)]
pub struct Sample(Vec<f64>);

/// What a sample says.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Summary {
    /// Measurements.
    pub n: usize,
    /// The middle one.
    pub median: f64,
    /// A quarter is below.
    pub p25: f64,
    /// A quarter is above.
    pub p75: f64,
    /// One in a hundred is above.
    pub p99: f64,
    /// One in a thousand is above.
    pub p999: f64,
    /// The smallest.
    pub least: f64,
    /// The largest.
    pub worst: f64,
}

impl Sample {
    /// One more.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The value below which this part (0 to 1) of the sample lies; 0 of an empty one.
    pub fn quantile(&mut self, part: f64) -> f64 {
        self.0.sort_unstable_by(f64::total_cmp);
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * part).round() as usize).copied().unwrap_or(0.0)
    }

    /// All of it in a few numbers.
    pub fn summary(&mut self) -> Summary {
        Summary {
            n: self.0.len(),
            median: self.quantile(0.5),
            p25: self.quantile(0.25),
            p75: self.quantile(0.75),
            p99: self.quantile(0.99),
            p999: self.quantile(0.999),
            least: self.quantile(0.0),
            worst: self.quantile(1.0),
        }
    }
}

impl Extend<f64> for Sample {
    fn extend<T: IntoIterator<Item = f64>>(&mut self, values: T) {
        self.0.extend(values);
    }
}

impl FromIterator<f64> for Sample {
    fn from_iter<T: IntoIterator<Item = f64>>(values: T) -> Self {
        Self(values.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_what_is_known() {
        let mut sample: Sample = (0..=1000).rev().map(f64::from).collect();
        let summary = sample.summary();
        assert_eq!((summary.n, summary.least, summary.worst), (1001, 0.0, 1000.0));
        assert_eq!((summary.p25, summary.median, summary.p75), (250.0, 500.0, 750.0));
        assert_eq!((summary.p99, summary.p999), (990.0, 999.0));
        assert_eq!(Sample::default().summary().median, 0.0);
    }
}
