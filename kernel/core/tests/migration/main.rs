//! The migration protocol against everything that can go wrong, without a kernel: never two live copies;
//! one in the end, unless a node was lost that had it; else visibly in doubt; nothing left behind.
//!
//! `SOS_SEEDS=10000 cargo test --release -p sos-core --test migration` runs that many random worlds and
//! every pair of faults; a failure names its seed or its faults, and `SOS_SEED=N` runs that seed alone.

mod groups;
mod hostile;
mod wild;
mod words;
mod world;

use sos_core::migrate::{Answer, Mode};
use world::{Action, Arriving, Fault, World};

/// Numbers from a seed (SplitMix64, by Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, most: usize) -> usize {
        (self.next() % most.max(1) as u64) as usize
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

const MODES: [Mode; 2] = [Mode::Live, Mode::Cold];
const ANSWERS: [Answer; 3] = [Answer::Here, Answer::There, Answer::Drop];

/// All faults between the first two of so many nodes.
fn faults(nodes: usize) -> Vec<Fault> {
    let mut faults = vec![Fault::Heal(0, 1), Fault::Repeat, Fault::Delay];
    for arriving in [
        Arriving::None,
        Arriving::To(0),
        Arriving::To(1),
        Arriving::All,
    ] {
        faults.push(Fault::Cut(0, 1, arriving));
    }
    for node in 0..nodes {
        faults.extend([Fault::Reset(node), Fault::Cancel(node), Fault::Fail(node)]);
        faults.push(Fault::Frame(node));
        faults.extend(ANSWERS.map(|answer| Fault::Resolve(node, answer)));
        faults.extend(MODES.map(|mode| Fault::Begin(node, mode)));
    }
    faults
}

/// Steps after which a story with faults goes on to its end: with a link that is cut for ever, nodes ask
/// for ever.
const STEPS_WITH_FAULTS: usize = 120;

/// Lets everything happen in its order, with faults before given steps, until nothing is left or there
/// were enough steps: their number.
fn unfold(world: &mut World, faults: &[(usize, Fault)]) -> usize {
    for step in 0..STEPS_WITH_FAULTS {
        for &(_, fault) in faults.iter().filter(|&&(at, _)| at == step) {
            world.befall(fault);
        }
        match world.actions().first() {
            Some(&action) => world.act(action),
            None => return step,
        }
    }
    STEPS_WITH_FAULTS
}

/// Heals all links, lets everything happen that still does, and checks how it ended.
fn settle(world: &mut World) {
    world.heal();
    let mut steps = 0;
    while let Some(&action) = world.actions().first() {
        world.act(action);
        steps += 1;
        assert!(steps < 5000, "it does not end");
    }
    world.check_end();
}

/// Runs a story; a failure tells it.
fn told(name: &str, run: impl FnOnce(&mut World), mut world: World) {
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&mut world)));
    if let Err(panic) = result {
        eprintln!("--- {name} ---\n{}", world.story.join("\n"));
        std::panic::resume_unwind(panic);
    }
}

/// One migration in the plainest order, with faults at steps; then links heal and everything settles.
fn run_with(mode: Mode, faults: &[(usize, Fault)]) -> usize {
    let mut steps = 0;
    told(
        &format!("{mode:?} {faults:?}"),
        |world| {
            world.befall(Fault::Begin(1, mode));
            steps = unfold(world, faults);
            settle(world);
        },
        World::new(2),
    );
    steps
}

#[test]
fn an_instance_moves_and_comes_back() {
    for mode in MODES {
        let mut world = World::new(3);
        for to in [1, 0, 2, 1, 2, 0] {
            assert!(world.befall(Fault::Begin(to, mode)));
            settle(&mut world);
            assert_eq!(world.runner(), Some(to));
        }
    }
}

#[test]
fn frames_that_reach_the_source_while_it_passes_them_on_arrive() {
    let mut world = World::new(2);
    world.befall(Fault::Begin(1, Mode::Live));
    let (mut step, mut after_it_ran) = (0, 0);
    while let Some(&action) = world.actions().first() {
        world.act(action);
        step += 1;
        // More would be more than one step carries.
        if step % 2 == 0 && world.befall(Fault::Frame(0)) && world.runner() == Some(1) {
            after_it_ran += 1;
        }
    }
    assert!(after_it_ran > 3, "{after_it_ran} frames");
    assert_eq!(world.frames_arrived, world.frames_sent);
    world.check_end();
}

#[test]
fn every_fault_at_every_step() {
    for mode in MODES {
        let steps = run_with(mode, &[]);
        assert!(steps > 20, "a migration of {steps} steps");
        for at in 0..=steps {
            for fault in faults(2) {
                run_with(mode, &[(at, fault)]);
            }
        }
    }
}

#[test]
fn every_pair_of_faults() {
    // In `cargo test` one in so many of the pairs, spread evenly; all with a number of seeds.
    let stride = match from_environment("SOS_SEEDS") {
        Some(_) => 1,
        None => 41,
    };
    let mut count = 0;
    for mode in MODES {
        let steps = run_with(mode, &[]);
        for first_at in 0..=steps {
            for first in faults(2) {
                for second_at in first_at..=steps + 6 {
                    for second in faults(2) {
                        count += 1;
                        if count % stride == 0 {
                            run_with(mode, &[(first_at, first), (second_at, second)]);
                        }
                    }
                }
            }
        }
    }
}

/// A random world of three nodes: many migrations, many faults, any order.
fn run_seed(seed: u64) {
    let mut random = Random(seed);
    let nodes = 2 + random.below(2);
    let run = |world: &mut World| {
        let faults = faults(nodes);
        let (steps, rarity) = (100 + random.below(400), 4 + random.below(60));
        for _ in 0..steps {
            let actions = world.actions();
            let waits = actions.len() > 1 && random.below(8) > 0;
            let quick = actions.iter().filter(|action| **action != Action::Wait);
            let quick: Vec<Action> = quick.copied().collect();
            let choice = match waits && !quick.is_empty() {
                true => &quick,
                false => &actions,
            };
            if choice.is_empty() || random.below(rarity) == 0 {
                world.befall(pick_fault(&mut random, &faults, nodes));
            } else {
                world.act(random.of(choice));
            }
        }
        settle(world);
    };
    told(&format!("SOS_SEED={seed}"), run, World::new(nodes));
}

/// A fault of the list, with its nodes drawn anew.
fn pick_fault(random: &mut Random, faults: &[Fault], nodes: usize) -> Fault {
    let one = random.below(nodes);
    let other = (one + 1 + random.below(nodes - 1)) % nodes;
    match random.of(faults) {
        Fault::Cut(_, _, arriving) => Fault::Cut(one, other, arriving),
        Fault::Heal(..) => Fault::Heal(one, other),
        // Rare, since they end most stories.
        Fault::Reset(_) if random.below(4) > 0 => Fault::Heal(one, other),
        Fault::Resolve(node, Answer::Drop) if random.below(4) > 0 => {
            Fault::Resolve(node, Answer::Here)
        }
        fault @ (Fault::Reset(_)
        | Fault::Begin(..)
        | Fault::Cancel(_)
        | Fault::Resolve(..)
        | Fault::Fail(_)
        | Fault::Repeat
        | Fault::Delay
        | Fault::Frame(_)) => fault,
    }
}

#[test]
fn random_worlds() {
    if let Some(seed) = from_environment("SOS_SEED") {
        return run_seed(seed);
    }
    let seeds = from_environment("SOS_SEEDS").unwrap_or(400);
    for seed in 0..seeds {
        run_seed(seed);
    }
}
