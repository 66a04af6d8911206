//! What operators see of an instance that is in doubt, and what their words do.

use super::world::{Arriving, Fault, World};
use super::{ANSWERS, Random, from_environment, settle, told};
use sos_core::machine::Duration;
use sos_core::migrate::{Answer, Doubt, Mode, Role};

/// A migration from node 0 to node 1 up to where the source has said COMMIT, which is not delivered.
fn committed() -> World {
    let mut world = World::new(2);
    world.befall(Fault::Begin(1, Mode::Live));
    advance(&mut world, 0, Role::Source);
    world
}

/// Lets things happen until a node is in the commit window.
fn advance(world: &mut World, node: usize, role: Role) {
    while !world.is_in_window(node, role) {
        let action = world.actions()[0];
        world.act(action);
    }
}

/// Lets things happen for a while without healing anything.
fn go_on(world: &mut World) {
    for _ in 0..80 {
        match world.actions().first() {
            Some(&action) => world.act(action),
            None => return,
        }
    }
}

#[test]
fn a_link_lost_in_the_commit_window_is_told_on_both_nodes_and_settled_when_they_meet() {
    let mut world = committed();
    world.befall(Fault::Cut(0, 1, Arriving::None));
    go_on(&mut world);
    assert_eq!(world.doubt(0), Some((Role::Source, Doubt::LinkLost)));
    assert_eq!(world.doubt(1), Some((Role::Target, Doubt::LinkLost)));
    assert_eq!(world.live(), 0);
    settle(&mut world);
    assert_eq!(world.runner(), Some(1));
}

#[test]
fn a_target_that_was_reset_in_the_window_leaves_the_source_in_doubt_until_an_operator_decides() {
    for answer in ANSWERS {
        let mut world = committed();
        world.befall(Fault::Reset(1));
        settle(&mut world);
        assert_eq!(world.doubt(0), Some((Role::Source, Doubt::PeerReset)));
        assert!(world.resolve(0, answer));
        settle(&mut world);
        assert_eq!(world.doubt(0), None);
        let expected = match answer {
            Answer::Here => Some(0),
            Answer::There | Answer::Drop => None,
        };
        assert_eq!(world.runner(), expected, "{answer:?}");
    }
}

#[test]
fn a_source_that_was_reset_in_the_window_leaves_the_target_in_doubt_until_an_operator_decides() {
    for answer in ANSWERS {
        let mut world = committed();
        world.befall(Fault::Cut(0, 1, Arriving::None));
        world.befall(Fault::Reset(0));
        settle(&mut world);
        assert_eq!(world.doubt(1), Some((Role::Target, Doubt::PeerReset)));
        assert!(world.resolve(1, answer));
        settle(&mut world);
        assert_eq!(world.doubt(1), None);
        let expected = match answer {
            Answer::Here => Some(1),
            Answer::There | Answer::Drop => None,
        };
        assert_eq!(world.runner(), expected, "{answer:?}");
    }
}

#[test]
fn a_word_at_either_node_ends_the_doubt_at_both_when_they_meet() {
    let ends = [
        // (node, word, who runs it in the end)
        (0, Answer::There, Some(1)),
        (0, Answer::Drop, None),
        (1, Answer::Here, Some(1)),
        (1, Answer::There, Some(0)),
        (1, Answer::Drop, Some(0)),
    ];
    for (node, answer, runner) in ends {
        let mut world = committed();
        world.befall(Fault::Cut(0, 1, Arriving::None));
        go_on(&mut world);
        assert!(world.resolve(node, answer), "{node} {answer:?}");
        settle(&mut world);
        assert_eq!(world.runner(), runner, "{node} {answer:?}");
        assert_eq!((world.doubt(0), world.doubt(1)), (None, None));
    }
}

#[test]
fn nothing_can_be_resolved_that_is_not_in_doubt() {
    let mut world = committed();
    for node in [0, 1] {
        for answer in ANSWERS {
            assert!(!world.resolve(node, answer));
        }
    }
    assert!(!world.befall(Fault::Cancel(0)), "COMMIT was taken back");
    settle(&mut world);
    assert_eq!(world.runner(), Some(1));
}

#[test]
fn of_two_copies_that_operators_let_run_the_sources_is_left_when_they_meet() {
    for answer in ANSWERS {
        let mut world = committed();
        world.befall(Fault::Cut(0, 1, Arriving::None));
        go_on(&mut world);
        world.misled = true;
        assert!(world.resolve(0, Answer::Here));
        assert!(world.resolve(1, Answer::Here));
        go_on(&mut world);
        assert_eq!(world.live(), 2, "nobody can keep operators from it");
        settle(&mut world);
        assert_eq!(world.runner(), Some(0));
        assert_eq!(world.doubt(1), Some((Role::Target, Doubt::Fenced)));
        if answer != Answer::Here {
            assert!(world.resolve(1, answer));
            settle(&mut world);
            assert_eq!(world.doubt(1), None);
            assert_eq!(world.runner(), Some(0));
        }
    }
}

#[test]
fn a_word_is_not_taken_while_the_other_node_can_answer() {
    for (node, role) in [(0, Role::Source), (1, Role::Target)] {
        let mut world = committed();
        world.befall(Fault::Cut(0, 1, Arriving::None));
        go_on(&mut world);
        assert_eq!(world.doubt(node), Some((role, Doubt::LinkLost)));
        world.heal();
        while world.doubt(node).is_some() {
            let action = world.actions()[0];
            world.act(action);
        }
        assert_eq!(world.runner(), None, "COMMIT is on its way");
        assert!(!world.resolve(node, Answer::Here));
        // Nor is the reason what it was, when there is no answer for long.
        for _ in 0..8 {
            world.befall(Fault::Delay);
        }
        assert_eq!(world.doubt(node), Some((role, Doubt::NoAnswer)));
        settle(&mut world);
        assert_eq!(world.runner(), Some(1));
    }
}

/// Node 1 runs the instance by COMMIT, and node 0 never hears of it.
fn unheard(nodes: usize) -> World {
    let mut world = World::new(nodes);
    world.befall(Fault::Begin(1, Mode::Live));
    advance(&mut world, 0, Role::Source);
    world.befall(Fault::Cut(0, 1, Arriving::To(1)));
    go_on(&mut world);
    assert_eq!(world.runner(), Some(1));
    assert_eq!(world.doubt(0), Some((Role::Source, Doubt::LinkLost)));
    world
}

#[test]
fn a_wrong_word_is_mended_though_the_copy_was_moved_on() {
    let mut world = unheard(3);
    world.misled = true;
    assert!(world.resolve(0, Answer::Here));
    assert!(world.begin_from(1, 2, Mode::Live));
    go_on(&mut world);
    assert_eq!(world.live(), 2, "nobody can keep operators from it");
    world.heal();
    world.meet();
    settle(&mut world);
    assert_eq!(world.runner(), Some(0));
    assert_eq!(world.doubt(2), Some((Role::Target, Doubt::Fenced)));
    // An operator's word on that is not asked for again.
    assert!(world.resolve(2, Answer::Here));
    assert!(world.resolve(2, Answer::Here) || world.live() == 2);
    world.meet();
    go_on(&mut world);
    assert_eq!(world.live(), 2);
}

#[test]
fn a_wrong_word_is_mended_though_the_nodes_meet_long_after() {
    let mut world = unheard(2);
    world.misled = true;
    assert!(world.resolve(0, Answer::Here));
    let begun = world.now;
    while world.now.since(begun) < Duration::from_secs(7000) {
        go_on(&mut world);
    }
    assert_eq!(world.live(), 2);
    // The target has ceased to ask: the source connects with it.
    world.heal();
    settle(&mut world);
    assert_eq!(world.runner(), Some(0));
    assert_eq!(world.doubt(1), Some((Role::Target, Doubt::Fenced)));
}

#[test]
fn whatever_operators_say_one_copy_at_most_is_left_when_the_nodes_meet() {
    for seed in 0..from_environment("SOS_SEEDS").unwrap_or(300) {
        let mut random = Random(seed);
        let nodes = 2 + random.below(2);
        let run = |world: &mut World| {
            world.misled = true;
            world.befall(Fault::Begin(1, Mode::Live));
            for _ in 0..150 * (nodes - 1) {
                let actions = world.actions();
                let one = random.below(nodes);
                let other = (one + 1 + random.below(nodes - 1)) % nodes;
                match random.below(13) {
                    0 => {
                        let arriving = [Arriving::None, Arriving::To(one), Arriving::To(other)];
                        world.befall(Fault::Cut(one, other, random.of(&arriving)));
                    }
                    1 => {
                        world.befall(Fault::Heal(one, other));
                    }
                    2..=4 => {
                        world.resolve(one, random.of(&ANSWERS));
                    }
                    5 => {
                        world.begin_from(one, other, Mode::Live);
                    }
                    _ if actions.is_empty() => {}
                    _ => world.act(random.of(&actions)),
                }
            }
            // What is known of a hand-over that goes on is known when that is over, and nodes meet again.
            for _ in 0..nodes {
                world.heal();
                world.meet();
                go_on(world);
            }
            settle(world);
        };
        told(&format!("words of seed {seed}"), run, World::new(nodes));
    }
}

#[test]
fn a_later_epoch_ends_the_doubt_about_an_earlier_one() {
    // Node 0 handed it over and does not know; node 1 runs it, and it comes back by way of node 2.
    let mut world = World::new(3);
    world.befall(Fault::Begin(1, Mode::Live));
    advance(&mut world, 0, Role::Source);
    world.befall(Fault::Cut(0, 1, Arriving::To(1)));
    go_on(&mut world);
    assert_eq!(world.runner(), Some(1));
    assert_eq!(world.doubt(0), Some((Role::Source, Doubt::LinkLost)));
    for to in [2, 0] {
        world.befall(Fault::Begin(to, Mode::Live));
        go_on(&mut world);
        assert_eq!(world.runner(), Some(to));
    }
    assert_eq!(world.doubt(0), None);

    // Node 1 is prepared for what node 0 has given up, and gets it by way of node 2.
    let mut world = World::new(3);
    world.befall(Fault::Begin(1, Mode::Live));
    advance(&mut world, 1, Role::Target);
    world.befall(Fault::Cut(0, 1, Arriving::None));
    go_on(&mut world);
    assert_eq!(world.runner(), Some(0));
    assert_eq!(world.doubt(1), Some((Role::Target, Doubt::LinkLost)));
    for to in [2, 1] {
        world.befall(Fault::Begin(to, Mode::Live));
        go_on(&mut world);
        assert_eq!(world.runner(), Some(to));
    }
    assert_eq!(world.doubt(1), None);
}
