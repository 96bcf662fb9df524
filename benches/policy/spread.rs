//! Least, median and greatest of some numbers.

use std::fmt;

/// Least, median and greatest of some numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) greatest: f64,
}

impl Spread {
    /// `None` of no numbers.
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        Some(Self {
            least: *values.first()?,
            median: *values.get(values.len() / 2)?,
            greatest: *values.last()?,
        })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            least,
            median,
            greatest,
        } = *self;
        let digits = if median < 10.0 { 2 } else { 0 };
        let text = format!("{median:.digits$} ({least:.digits$}–{greatest:.digits$})");
        f.pad(&text)
    }
}

/// A count, to be divided by. Counts are far below the number from which on this loses digits.
#[expect(clippy::cast_precision_loss, reason = "counts of a run are small")]
pub(crate) const fn float(count: u64) -> f64 {
    count as f64
}
