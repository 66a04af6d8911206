//! Loops of floor, ceil, trunc and nearest in both precisions.

const ROW: u32 = 512;

/// A running sum of rounded values.
#[derive(Default)]
pub struct Sum(f64);

impl Sum {
    /// Adds the roundings of a row of values that depends on `row`.
    pub fn add_row(&mut self, row: u32) {
        let mut value = f64::from(row % 1000) * 0.37 - 150.0;
        for _ in 0..ROW {
            value += 0.613;
            self.0 += value.floor() - (value * 0.5).ceil();
            self.0 += (value * 1.7).trunc() - (value * 0.9).round_ties_even();
            let single = value as f32;
            let rounded = single.floor() + (single * 0.5).ceil() - (single * 1.7).trunc();
            self.0 += f64::from(rounded - (single * 0.3).round_ties_even());
        }
    }

    /// The sum so far.
    pub fn value(&self) -> f64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::Sum;

    #[test]
    fn a_row_adds_whole_numbers() {
        let mut sum = Sum::default();
        sum.add_row(3);
        assert!(sum.value() != 0.0 && sum.value() == sum.value().trunc());
    }
}
