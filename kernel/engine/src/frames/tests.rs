//! Frame maps against what was recorded: every safepoint of random functions, found both ways.

use super::map::{CODE_UNIT, FrameMap, Operand, Place, Safepoint};
use super::pass::Pass;
use super::record::{Kind, Point, Recorder};
use super::{At, map::Callee};
use crate::ValType;
use alloc::vec::Vec;

/// Numbers without order, the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn operand(&mut self) -> Operand {
        const TYPES: [ValType; 4] = [ValType::I32, ValType::F64, ValType::V128, ValType::FuncRef];
        let place = match self.roll(5) {
            0 => Place::Cells,
            1 => Place::Local(self.roll(300) as u32),
            2 => Place::Constant(u128::from(self.roll(u64::MAX)) << self.roll(64)),
            _ => Place::Constant(7),
        };
        Operand {
            value_type: TYPES[self.roll(4) as usize],
            place,
        }
    }
}

/// What a translator knows, and what it told.
struct Function {
    recorder: Recorder,
    operands: Vec<Operand>,
    kept: usize,
    settled: Vec<u32>,
    offset: usize,
    operator: u32,
    recorded: Vec<Safepoint>,
}

impl Function {
    fn new() -> Function {
        let mut recorder = Recorder::default();
        recorder.begin(3, [ValType::I32, ValType::I64, ValType::I64].into_iter());
        recorder.count_operator();
        Function {
            recorder,
            operands: Vec::new(),
            kept: 0,
            settled: Vec::new(),
            offset: 0,
            operator: 0,
            recorded: Vec::new(),
        }
    }

    fn push(&mut self, operand: Operand) {
        self.operands.push(operand);
        self.step();
    }

    fn pop(&mut self, count: usize) {
        let height = self.operands.len().saturating_sub(count);
        self.operands.truncate(height);
        self.kept = self.kept.min(height);
        self.step();
    }

    /// The operand goes to its own cells.
    fn settle(&mut self, index: usize) {
        if self.operands[index].place != Place::Cells {
            self.operands[index].place = Place::Cells;
            if index < self.kept {
                self.settled.push(index as u32);
            }
        }
    }

    fn step(&mut self) {
        self.recorder.count_operator();
        self.operator += 1;
        self.offset += CODE_UNIT;
    }

    fn record(&mut self, kind: Kind, registers: [Option<u32>; 3]) {
        let point = Point {
            kind,
            offset: self.offset,
            registers,
            height: self.operands.len(),
            kept: self.kept,
        };
        let operands = &self.operands;
        if self
            .recorder
            .record(point, &self.settled, |index| operands[index])
        {
            self.kept = operands.len();
            self.settled.clear();
            let (at, callee) = match kind {
                Kind::CallOfType(callee) => (At::Call, Some(Callee::OfType(callee))),
                _ => (At::Loop, None),
            };
            self.recorded.push(Safepoint {
                offset: self.offset,
                operator: self.operator,
                at,
                registers,
                callee,
                operands: operands.clone(),
            });
        }
    }

    /// Ends it, and finds all that was recorded.
    fn check(self) -> FrameMap {
        let map = self.recorder.finish();
        let head = map.head().unwrap();
        for expected in &self.recorded {
            let by_operator = map.at_operator(&head, expected.operator, expected.at);
            assert_eq!(by_operator.as_ref(), Some(expected));
        }
        // In passes over all safepoints, over some, and over each alone.
        let mut dice = Dice(0x51f1_5e1d);
        let all: Vec<&Safepoint> = self.recorded.iter().collect();
        check_pass(&map, &all);
        for few in [2, 5, 30, 200] {
            let some = all.iter().copied().filter(|_| dice.roll(few) == 0);
            check_pass(&map, &some.collect::<Vec<_>>());
        }
        all.iter().for_each(|alone| check_pass(&map, &[alone]));
        map
    }
}

/// Reads safepoints in the order of the code, with no more room for operands than they need.
fn check_pass(map: &FrameMap, recorded: &[&Safepoint]) {
    let most = recorded.iter().map(|expected| expected.operands.len());
    let mut operands = Vec::with_capacity(most.max().unwrap_or(0));
    let room = operands.capacity();
    let mut pass = Pass::new(map, &map.head().unwrap());
    for expected in recorded {
        let units = (expected.offset / CODE_UNIT) as u32;
        let is_call = expected.at == At::Call;
        let record = pass.seek(units, |at| (at == At::Call) == is_call, &mut operands);
        let record = record.unwrap();
        assert_eq!(record.operator, expected.operator);
        assert_eq!(record.at, expected.at);
        assert_eq!(operands, expected.operands);
        assert_eq!(operands.capacity(), room);
    }
}

#[test]
fn every_safepoint_is_found_with_what_was_recorded() {
    let seeds = if cfg!(miri) { 2 } else { 20 };
    for seed in 1..=seeds {
        let mut dice = Dice(seed * 0x9e37_79b9_7f4a_7c15);
        let mut function = Function::new();
        let busy = 1 + dice.roll(40);
        for _ in 0..if cfg!(miri) { 300 } else { 1500 } {
            match dice.roll(8) {
                0..=2 => {
                    for _ in 0..=dice.roll(busy) {
                        function.push(dice.operand());
                    }
                }
                3 | 4 => function.pop(1 + dice.roll(busy * 2) as usize),
                5 if !function.operands.is_empty() => {
                    for _ in 0..=dice.roll(busy) {
                        let height = function.operands.len() as u64;
                        function.settle(dice.roll(height) as usize);
                    }
                }
                _ => {
                    function.offset += dice.roll(9) as usize * CODE_UNIT;
                    let registers = [Some(2), None, None].map(|it| it.filter(|_| busy > 20));
                    match dice.roll(2) {
                        0 => function.record(Kind::Loop, registers),
                        _ => function.record(Kind::CallOfType(dice.roll(1000) as u32), registers),
                    }
                    function.step();
                }
            }
        }
        function.check();
    }
}

/// Once 60 000 constants lie there, each call above and below them is told in a few bytes, and read without them.
#[test]
fn safepoints_with_few_operands_cost_little_beside_one_with_many() {
    let mut function = Function::new();
    let constant = |bits: usize| Operand {
        value_type: ValType::I64,
        place: Place::Constant(bits as u128),
    };
    function.push(constant(1));
    (0..60_000).for_each(|bits| function.push(constant(bits)));
    function.record(Kind::CallOfType(1), [None; 3]);
    function.pop(60_000);
    let calls = 3000;
    for _ in 0..calls {
        function.step();
        function.record(Kind::CallOfType(1), [None; 3]);
    }
    let kept = &function.recorded[1..];
    assert!(kept.iter().all(|safepoint| safepoint.operands.len() == 1));
    let recorded = function.recorded.split_off(1);
    let few = Function {
        recorded,
        ..function
    }
    .check();
    assert!(
        few.heap_bytes() < 60_000 * 5 + calls * 16,
        "{}",
        few.heap_bytes()
    );
}

/// However operands settle and go, what is read for one safepoint follows from its own operands: the longest
/// way that lists may have is cut by one that stands alone.
#[test]
fn lists_that_settle_are_not_followed_for_long() {
    let mut function = Function::new();
    let local = Operand {
        value_type: ValType::I32,
        place: Place::Local(1),
    };
    let count = if cfg!(miri) { 200 } else { 1500 };
    (0..count).for_each(|_| function.push(local));
    function.record(Kind::Loop, [None; 3]);
    for index in (0..count).rev() {
        function.settle(index);
        function.step();
        function.record(Kind::Loop, [None; 3]);
    }
    for left in (1..count).rev() {
        function.pop(function.operands.len() - left);
        function.record(Kind::Loop, [None; 3]);
    }
    // Reading asserts how many lists it follows.
    function.check();
}
