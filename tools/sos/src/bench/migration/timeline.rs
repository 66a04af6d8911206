//! A move drawn over time: what its client waited, and what the source did meanwhile.

use super::story::Departure;

/// Columns of a drawing.
const COLUMNS: usize = 64;
/// From a short wait to the longest.
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What is drawn, with times in milliseconds from the order on.
#[derive(Debug, Clone)]
pub struct Picture {
    /// How long the client was watched.
    pub watched_ms: f64,
    /// When each piece of the client was sent, and when it was back.
    pub trips_ms: Vec<(f64, f64)>,
    /// What the source tells.
    pub departure: Departure,
}

impl Picture {
    /// Two lines of columns, with their heading and what the signs mean.
    pub fn draw(&self) -> String {
        let Departure {
            rounds,
            kib,
            last_kib,
            ..
        } = self.departure;
        format!(
            "0 ms{:>rest$.0} ms\n{}  client: the longest wait, {:.1} ms at most\n{}  source: ░ {rounds} rounds of {kib} \
             KiB, █ stands ({last_kib} KiB of pages left), · gone\n",
            self.watched_ms,
            self.waits(),
            self.longest_ms(),
            self.phases(),
            rest = COLUMNS - 7,
        )
    }

    fn longest_ms(&self) -> f64 {
        let waits = self.trips_ms.iter().map(|(sent, back)| back - sent);
        waits.fold(0.0, f64::max)
    }

    /// The time of a column's left edge.
    fn edge_ms(&self, column: usize) -> f64 {
        self.watched_ms * column as f64 / COLUMNS as f64
    }

    /// For each column the longest wait of a piece that was under way.
    fn waits(&self) -> String {
        let longest = self.longest_ms();
        let column = |column| {
            let (from, until) = (self.edge_ms(column), self.edge_ms(column + 1));
            let under_way = self.trips_ms.iter();
            let under_way = under_way.filter(|(sent, back)| *sent < until && *back >= from);
            let wait = under_way
                .map(|(sent, back)| back - sent)
                .fold(0.0, f64::max);
            let level = (wait / longest * LEVELS.len() as f64) as usize;
            match wait > 0.0 {
                true => LEVELS[level.min(LEVELS.len() - 1)],
                false => ' ',
            }
        };
        (0..COLUMNS).map(column).collect()
    }

    /// For each column what the source does with the instance; a short stand has a column all the same.
    fn phases(&self) -> String {
        let since = |ns: u64| ns.saturating_sub(self.departure.asked_ns) as f64 / 1e6;
        let (frozen, told) = (
            since(self.departure.frozen_ns),
            since(self.departure.told_ns),
        );
        let column = |column| {
            let (from, until) = (self.edge_ms(column), self.edge_ms(column + 1));
            match () {
                () if until <= frozen => '░',
                () if from <= told => '█',
                () => '·',
            }
        };
        (0..COLUMNS).map(column).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_is_drawn_with_its_wait_and_its_stand() {
        let picture = Picture {
            watched_ms: 640.0,
            trips_ms: vec![(0.0, 1.0), (5.0, 6.0), (301.0, 319.0), (600.0, 601.0)],
            departure: Departure {
                asked_ns: 1_000_000,
                frozen_ns: 301_000_000,
                told_ns: 320_000_000,
                rounds: 2,
                kib: 69_207,
                last_kib: 36,
                stood_ns: 19_000_000,
            },
        };
        let text = picture.draw();
        let lines: Vec<Vec<char>> = text.lines().map(|line| line.chars().collect()).collect();
        assert_eq!(lines.len(), 3, "{text}");
        let signs = |line: usize, from: usize, until: usize| -> String {
            lines[line][from..until].iter().collect()
        };
        assert_eq!(signs(1, 0, 2), "▁ ", "{text}");
        assert_eq!(signs(1, 29, 33), " ██ ", "{text}");
        assert_eq!(signs(2, 29, 33), "░██·", "{text}");
        assert!(
            text.contains("18.0 ms at most") && text.contains("69207"),
            "{text}"
        );
    }
}
