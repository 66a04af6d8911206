//! What can be done to nodes and their cables from outside while they run: [`Order`].

use std::str::FromStr;
use std::time::Duration;

/// Bandwidths below this would keep a frame for minutes.
const RATE_MIN: u64 = 1000;

/// An order of the user or a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Cut a node's cable.
    Cut(String),
    /// Make a node's cable a good one again.
    Heal(String),
    /// Lose so many of a thousand frames in each direction.
    Loss(String, u16),
    /// Delay every frame in each direction.
    Delay(String, Duration),
    /// Let only so many bits per second pass in each direction.
    Rate(String, u64),
    /// Take a node's power and give it back at once.
    Reset(String),
    /// Take a node's power.
    Kill(String),
}

impl Order {
    /// The node that it is about.
    pub fn node(&self) -> &str {
        match self {
            Order::Cut(node)
            | Order::Heal(node)
            | Order::Loss(node, _)
            | Order::Delay(node, _)
            | Order::Rate(node, _)
            | Order::Reset(node)
            | Order::Kill(node) => node,
        }
    }
}

impl FromStr for Order {
    type Err = String;

    /// Reads `cut node2`, `loss node2 1.5%`, `delay node2 20ms`, `rate node2 10M` and the like.
    fn from_str(text: &str) -> Result<Order, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let order = match words[..] {
            ["cut", node] => Order::Cut(node.into()),
            ["heal", node] => Order::Heal(node.into()),
            ["reset", node] => Order::Reset(node.into()),
            ["kill", node] => Order::Kill(node.into()),
            ["loss", node, share] => Order::Loss(node.into(), per_mille(share)?),
            ["delay", node, time] => Order::Delay(node.into(), milliseconds(time)?),
            ["rate", node, rate] => Order::Rate(node.into(), bits_per_second(rate)?),
            _ => {
                return Err(format!(
                    "no order `{text}`: cut NODE, heal NODE, loss NODE 1.5%, delay NODE 20ms, \
                     rate NODE 10M, reset NODE, kill NODE"
                ));
            }
        };
        Ok(order)
    }
}

fn per_mille(text: &str) -> Result<u16, String> {
    let wrong = || format!("loss `{text}`: write a share such as 1.5%");
    let percent: f64 = text
        .strip_suffix('%')
        .unwrap_or(text)
        .parse()
        .map_err(|_| wrong())?;
    match (0.0..=100.0).contains(&percent) {
        true => Ok((percent * 10.0).round() as u16),
        false => Err(wrong()),
    }
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    let wrong = |_| format!("delay `{text}`: write a time such as 20ms");
    let number = text.strip_suffix("ms").unwrap_or(text);
    number
        .parse::<u32>()
        .map(|count| Duration::from_millis(count.into()))
        .map_err(wrong)
}

fn bits_per_second(text: &str) -> Result<u64, String> {
    let wrong = || format!("rate `{text}`: write bits per second such as 10M, at least 1k");
    let (number, unit) = match text.strip_suffix(['k', 'K']) {
        Some(number) => (number, 1000),
        None => match text.strip_suffix(['m', 'M']) {
            Some(number) => (number, 1_000_000),
            None => match text.strip_suffix(['g', 'G']) {
                Some(number) => (number, 1_000_000_000),
                None => (text, 1),
            },
        },
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let rate = number.checked_mul(unit).ok_or_else(wrong)?;
    match rate >= RATE_MIN {
        true => Ok(rate),
        false => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_with_their_units() {
        let order = |text: &str| text.parse::<Order>().unwrap();
        let node = || "node2".to_string();
        assert_eq!(order("cut node2"), Order::Cut(node()));
        assert_eq!(order("loss node2 1.5%"), Order::Loss(node(), 15));
        let delay = Duration::from_millis(20);
        assert_eq!(order("delay node2 20ms"), Order::Delay(node(), delay));
        assert_eq!(order("rate node2 10M"), Order::Rate(node(), 10_000_000));
        assert_eq!(order(" reset  node2 ").node(), "node2");
        for text in [
            "",
            "cut",
            "loss node2 101%",
            "loss node2 x",
            "delay node2 -1",
            "rate node2 0",
            "rate node2 99999999999G",
            "fly node2",
        ] {
            assert!(text.parse::<Order>().is_err(), "{text}");
        }
    }
}
