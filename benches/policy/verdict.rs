//! The results of the targets, one a line.

use std::fmt;

use crate::spread::Spread;

/// The bound of a figure.
#[derive(Clone, Copy)]
pub(crate) enum Bound {
    Least(f64),
    Most(f64),
    /// Nothing: it is only shown.
    None,
}

impl Bound {
    /// The line for a ratio that was measured several times; its median counts.
    pub(crate) fn of_ratios(self, what: &str, ratios: &[f64]) -> String {
        let spread = Spread::of(ratios.iter().copied());
        let median = spread.map_or(f64::NAN, |spread| spread.median);
        let text = spread.map_or_else(String::new, |spread| spread.to_string());
        format!("{}  {what}: {self}  {text}", self.verdict(median))
    }

    /// The line for a single figure.
    pub(crate) fn of_figure(self, what: &str, figure: f64) -> String {
        let digits = if figure.abs() < 10.0 { 3 } else { 1 };
        format!(
            "{}  {what}: {self}  {figure:.digits$}",
            self.verdict(figure)
        )
    }

    /// Whether the bound is met. NaN does not meet it.
    fn verdict(self, figure: f64) -> &'static str {
        let is_met = match self {
            Self::Least(bound) => figure >= bound,
            Self::Most(bound) => figure <= bound,
            Self::None => return "    ",
        };
        if is_met { "pass" } else { "MISS" }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Least(bound) => write!(f, "≥ {bound}"),
            Self::Most(bound) => write!(f, "≤ {bound}"),
            Self::None => f.write_str("–"),
        }
    }
}
