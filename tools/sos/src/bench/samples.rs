//! The figures of one system, by row.

use std::collections::BTreeMap;

use super::statistics::median;

/// Every figure that one system has shown.
#[derive(Debug, Default)]
pub struct Samples(BTreeMap<&'static str, Vec<f64>>);

impl Samples {
    /// Adds a figure.
    pub fn add(&mut self, row: &'static str, value: f64) {
        self.0.entry(row).or_default().push(value);
    }

    /// The median of a row's figures.
    pub fn median(&self, row: &str) -> Option<f64> {
        median(self.0.get(row)?)
    }

    /// How many figures a row has.
    pub fn runs(&self, row: &str) -> usize {
        self.0.get(row).map_or(0, Vec::len)
    }
}
