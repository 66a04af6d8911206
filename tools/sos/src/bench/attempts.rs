//! [`Attempts`]: one measurement that fails takes no other's figures with it.

use anyhow::{Result, bail};

use crate::process::say;

/// What failed so far, in words.
#[derive(Debug, Default)]
pub struct Attempts {
    failures: Vec<String>,
}

impl Attempts {
    /// Tries a measurement, and says and keeps why it failed; returns what it found, if it found anything.
    pub fn run<T>(&mut self, what: &str, measure: impl FnOnce() -> Result<T>) -> Option<T> {
        match measure() {
            Ok(found) => Some(found),
            Err(error) => {
                let failure = format!("{what}: {error:#}");
                say(format!("bench: FAILED: {failure}"));
                self.failures.push(failure);
                None
            }
        }
    }

    /// Makes an error of what failed, once the figures that there are were printed.
    ///
    /// # Errors
    /// When anything failed.
    pub fn finish(&self) -> Result<()> {
        match self.failures.len() {
            0 => Ok(()),
            count => bail!("{count} measurements failed: {}", self.failures.join("; ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Attempts;

    #[test]
    fn what_fails_is_told_at_the_end_and_stops_nothing() {
        let mut attempts = Attempts::default();
        assert_eq!(attempts.run("first", || Ok(1)), Some(1));
        assert!(attempts.finish().is_ok());
        let failed: Option<i32> = attempts.run("second", || anyhow::bail!("no answer"));
        assert_eq!(failed, None);
        assert_eq!(attempts.run("third", || Ok(3)), Some(3));
        let error = attempts.finish().unwrap_err().to_string();
        assert_eq!(error, "1 measurements failed: second: no answer");
    }
}
