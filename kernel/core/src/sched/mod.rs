//! Who runs next: weighted fair queueing over CPU time.
//!
//! Each runnable instance carries a *virtual time* that advances by the CPU time it used, divided by
//! its shares; the one that is furthest behind runs. An instance that slept is brought up to just
//! behind the others when it wakes, so that it runs at once but cannot save up time. This is the
//! scheme of Linux's CFS without its tunables; the alternative, fixed priorities, lets one instance
//! starve another.

mod throttle;

pub use throttle::Throttle;

use alloc::collections::BTreeSet;
use core::time::Duration;

/// How long one slice may last while others may want the CPU.
///
/// Short enough that a service answers a request promptly beside a compute-bound neighbour, long
/// enough that the kernel's turn between two slices does not show.
pub const SLICE: Duration = Duration::from_micros(250);

/// How far behind the others a woken instance starts, in nanoseconds of virtual time.
const WAKE_CREDIT_NANOS: u64 = 1_000_000;

/// Shares at which virtual time equals CPU time.
const UNIT_SHARES: u64 = 100;

/// What the scheduler keeps of one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    virtual_nanos: u64,
    shares: u32,
    queued: Queued,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Queued {
    No,
    Yes,
}

impl Account {
    /// An account that has used nothing; `shares` of zero count as one.
    pub fn new(shares: u32) -> Account {
        Account {
            virtual_nanos: 0,
            shares: shares.max(1),
            queued: Queued::No,
        }
    }

    /// Whether it waits for the CPU.
    pub fn is_queued(&self) -> bool {
        self.queued == Queued::Yes
    }
}

/// The instances that want the CPU. Keys are the caller's.
#[derive(Debug, Default)]
pub struct RunQueue {
    queue: BTreeSet<(u64, u32)>,
    /// Virtual time of the last instance picked: never goes back.
    floor_nanos: u64,
}

impl RunQueue {
    /// Lets `key` compete for the CPU. No effect when it does already.
    pub fn wake(&mut self, key: u32, account: &mut Account) {
        if account.is_queued() {
            return;
        }
        let earliest = self.floor_nanos.saturating_sub(WAKE_CREDIT_NANOS);
        account.virtual_nanos = account.virtual_nanos.max(earliest);
        account.queued = Queued::Yes;
        self.queue.insert((account.virtual_nanos, key));
    }

    /// Has an account that begins stand `slices` behind those that have the CPU: of many that begin at once each comes
    /// when the others have had their turns, instead of all of them before everybody else.
    pub fn enter_late(&self, account: &mut Account, slices: u32) {
        let slice_nanos = SLICE.as_nanos() as u64;
        let late = self.floor_nanos + u64::from(slices).saturating_mul(slice_nanos);
        account.virtual_nanos = account.virtual_nanos.max(late);
    }

    /// Takes `key` out, as when it is paused or stopped.
    pub fn remove(&mut self, key: u32, account: &mut Account) {
        if account.is_queued() {
            self.queue.remove(&(account.virtual_nanos, key));
            account.queued = Queued::No;
        }
    }

    /// The instance to run now; it stays queued until [`RunQueue::charge`].
    pub fn pick(&self) -> Option<u32> {
        self.queue.first().map(|&(_, key)| key)
    }

    /// Accounts for CPU time that `key` used, and takes it out of the queue; the caller wakes it
    /// again when it still wants to run.
    pub fn charge(&mut self, key: u32, account: &mut Account, used: Duration) {
        self.remove(key, account);
        self.floor_nanos = self.floor_nanos.max(account.virtual_nanos);
        let used_nanos = u64::try_from(used.as_nanos()).unwrap_or(u64::MAX);
        let weighted = used_nanos.saturating_mul(UNIT_SHARES) / u64::from(account.shares);
        account.virtual_nanos = account.virtual_nanos.saturating_add(weighted.max(1));
    }

    /// Whether nobody wants the CPU.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many want the CPU.
    pub fn len(&self) -> usize {
        self.queue.len()
    }
}

/// Turns time into fuel for one instance, from what its last slices showed.
///
/// Operators differ in cost, so each instance has its own rate: an exponential average in units of
/// 1/256 nanoseconds per unit of fuel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FuelRate {
    nanos_per_fuel_256: u64,
}

/// Least fuel of a slice: enough to pass any single safepoint.
const LEAST_FUEL: u64 = 1_000;
/// Most fuel of a slice, should the clock stand still.
const MOST_FUEL: u64 = 50_000_000;

impl Default for FuelRate {
    fn default() -> FuelRate {
        // 10 ns a unit: an interpreter under emulation; real machines correct it within a few slices.
        FuelRate {
            nanos_per_fuel_256: 10 * 256,
        }
    }
}

impl FuelRate {
    /// Fuel for a slice of about `wanted`.
    pub fn fuel_for(&self, wanted: Duration) -> u64 {
        let nanos = u64::try_from(wanted.as_nanos()).unwrap_or(u64::MAX);
        (nanos.saturating_mul(256) / self.nanos_per_fuel_256.max(1)).clamp(LEAST_FUEL, MOST_FUEL)
    }

    /// Learns from a slice that used up its fuel.
    pub fn learn(&mut self, fuel: u64, used: Duration) {
        if fuel < LEAST_FUEL {
            return;
        }
        let nanos = u64::try_from(used.as_nanos()).unwrap_or(u64::MAX);
        let seen = (nanos.saturating_mul(256) / fuel).clamp(1, 1 << 30);
        self.nanos_per_fuel_256 = (self.nanos_per_fuel_256 * 7 + seen).div_ceil(8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(queue: &mut RunQueue, accounts: &mut [Account], slices: usize) -> [usize; 2] {
        let mut counts = [0; 2];
        for _ in 0..slices {
            let key = queue.pick().expect("somebody runs");
            counts[key as usize] += 1;
            queue.charge(key, &mut accounts[key as usize], SLICE);
            queue.wake(key, &mut accounts[key as usize]);
        }
        counts
    }

    #[test]
    fn cpu_is_divided_by_shares() {
        let mut queue = RunQueue::default();
        let mut accounts = [Account::new(300), Account::new(100)];
        queue.wake(0, &mut accounts[0]);
        queue.wake(1, &mut accounts[1]);
        let counts = run(&mut queue, &mut accounts, 4000);
        assert!((2990..=3010).contains(&counts[0]), "{counts:?}");
    }

    #[test]
    fn sleeper_runs_next_but_saves_nothing_up() {
        let mut queue = RunQueue::default();
        let mut accounts = [Account::new(100), Account::new(100)];
        queue.wake(0, &mut accounts[0]);
        run(&mut queue, &mut accounts, 10_000);
        queue.wake(1, &mut accounts[1]);
        assert_eq!(queue.pick(), Some(1), "the woken one comes first");
        let counts = run(&mut queue, &mut accounts, 1000);
        assert!(
            counts[1] <= 506,
            "it does not catch up on its sleep: {counts:?}"
        );
    }

    #[test]
    fn many_that_begin_at_once_leave_the_others_their_turns() {
        let mut queue = RunQueue::default();
        let mut accounts = [Account::new(100); 41];
        queue.wake(0, &mut accounts[0]);
        for _ in 0..100 {
            queue.charge(0, &mut accounts[0], SLICE);
            queue.wake(0, &mut accounts[0]);
        }
        for (key, account) in (0..).zip(&mut accounts).skip(1) {
            queue.enter_late(account, key - 1);
            queue.wake(key, account);
        }
        // Each of them runs once and waits then; the first one goes on.
        let mut apart = 0;
        while queue.len() > 1 {
            let key = queue.pick().expect("somebody runs");
            queue.charge(key, &mut accounts[key as usize], SLICE / 2);
            match key {
                0 => {
                    queue.wake(0, &mut accounts[0]);
                    apart = 0;
                }
                _ => apart += 1,
            }
            assert!(apart <= 2, "{apart} in a row");
        }
    }

    #[test]
    fn removed_instances_are_not_picked() {
        let mut queue = RunQueue::default();
        let mut account = Account::new(100);
        queue.wake(0, &mut account);
        queue.remove(0, &mut account);
        assert_eq!(queue.pick(), None);
        queue.wake(0, &mut account);
        assert_eq!(queue.pick(), Some(0));
    }

    #[test]
    fn fuel_follows_the_observed_rate() {
        let mut rate = FuelRate::default();
        for _ in 0..100 {
            rate.learn(100_000, Duration::from_nanos(200_000));
        }
        let fuel = rate.fuel_for(SLICE);
        assert!((100_000..=130_000).contains(&fuel), "{fuel}");
        rate.learn(100_000, Duration::ZERO);
        assert!(rate.fuel_for(Duration::from_secs(1_000_000)) <= MOST_FUEL);
    }
}
