//! The figures of one system, by row.

use std::collections::BTreeMap;

use super::statistics::{median, percentile};

/// Every figure that one system has shown.
#[derive(Debug, Default)]
pub struct Samples {
    figures: BTreeMap<&'static str, Vec<f64>>,
    /// The same measured while nothing was done, of rows that have it.
    controls: BTreeMap<&'static str, Vec<f64>>,
}

impl Samples {
    /// Adds a figure.
    pub fn add(&mut self, row: &'static str, value: f64) {
        self.figures.entry(row).or_default().push(value);
    }

    /// Adds what was seen while nothing was done that the row is about.
    pub fn add_control(&mut self, row: &'static str, value: f64) {
        self.controls.entry(row).or_default().push(value);
    }

    /// The median of a row's figures.
    pub fn median(&self, row: &str) -> Option<f64> {
        median(self.figures.get(row)?)
    }

    /// The value that so many per cent of a row's figures do not exceed.
    pub fn percentile(&self, row: &str, percent: f64) -> Option<f64> {
        percentile(self.figures.get(row)?, percent)
    }

    /// The median of a row's controls.
    pub fn control(&self, row: &str) -> Option<f64> {
        median(self.controls.get(row)?)
    }

    /// How many figures a row has.
    pub fn runs(&self, row: &str) -> usize {
        self.figures.get(row).map_or(0, Vec::len)
    }
}
