//! Programs whose active segments are being applied.

use super::*;
use sos_engine::SegmentPosition;

/// A library and a program that write into its memory and its table: more than one piece of each.
fn with_large_segments() -> (String, String) {
    let text = |byte: &str, count: usize| byte.repeat(count);
    let functions = text(" $f $g $h", 3_000);
    let library = format!(
        r#"(module {EXIT} (memory (export "memory") 6) (table (export "table") 9100 funcref)
            (global (export "offset") i32 (i32.const 50))
            (func $f (result i32) (i32.const 5)) (func $g (result i32) (i32.load8_u (i32.const 100)))
            (func $h (result i32) (i32.const 6))
            (elem (i32.const 10) func {functions}) (elem (i32.const 9012) func $h $h)
            (data (i32.const 90) "{}") (data (i32.const 70000) "abc") (data (i32.const 70001) "x")
            (func $start (call $mark (i32.load8_u (i32.const 150089)))
                (call $mark (call_indirect (result i32) (i32.const 9009)))
                (call $mark (i32.load (i32.const 70000)))
                (i32.store8 (i32.const 150089) (i32.const 1)))
            (start $start))"#,
        text("a", 150_000)
    );
    let functions = text(" $p $q", 2_500);
    let main = format!(
        r#"(module {EXIT} (import "a" "memory" (memory 6)) (import "a" "table" (table 9100 funcref))
            (import "a" "offset" (global $offset i32))
            (func $p (result i32) (i32.const 7)) (func $q (result i32) (i32.load8_u (i32.const 101)))
            (elem (global.get $offset) func {functions}) (data (global.get $offset) "{}")
            (func (export "_start")
                (call $mark (i32.load8_u (i32.const 150089))) (call $mark (i32.load8_u (i32.const 80049)))
                (call $mark (i32.load8_u (i32.const 80050)))
                (call $mark (call_indirect (result i32) (i32.const 5049)))
                (call $mark (call_indirect (result i32) (i32.const 5050)))
                (call $mark (call_indirect (result i32) (i32.const 50)))))"#,
        text("b", 80_000)
    );
    (library, main)
}

#[test]
fn active_segments_go_on_between_their_pieces() {
    let (library, main) = with_large_segments();
    let modules = [("main", &*main), ("a", &*library)];
    let (did, _) = run_moved(&modules, &[], 1_000_000, false);
    let marks: Vec<u64> = did
        .calls
        .iter()
        .map(|(_, arguments)| arguments[0])
        .collect();
    let x = u64::from(u32::from_le_bytes(*b"axca"));
    assert_eq!(marks, [97, 6, x, 1, 98, 97, 98, 5, 7]);
    // 150 000 and 80 000 bytes, 9000 and 5000 elements.
    check(&modules, &[], &[1], 10);
    check(&modules, &[], &[30_000], 4);
}

#[test]
fn segments_are_believed_only_where_they_can_be() {
    let (library, main) = with_large_segments();
    let modules = [("main", &*main), ("a", &*library)];
    let mut execution = begin(&modules, &[]);
    assert_eq!(execution.run(1), Stop::OutOfFuel);
    let state = execution.capture().unwrap();
    let program = set(&modules).unwrap();
    let pages = memories(&execution);
    let position = |segment, done| SegmentPosition { segment, done };
    let at = |position| ProgressState::Segments { position };
    assert_eq!(state.progress, at(position(0, 4096)));
    for (told, is_sound) in [
        (position(0, 9_000), true),
        (position(0, 9_001), false),
        (position(2, 150_000), true),
        (position(2, u64::MAX), false),
        (position(5, 0), true),
        (position(5, 1), false),
        (position(6, 0), false),
        (position(u32::MAX, 0), false),
    ] {
        let told = ExecutionState {
            progress: at(told),
            ..state.clone()
        };
        let restored = restore(&program, &told, &pages, Script::default());
        match restored {
            Ok(mut execution) => {
                assert!(is_sound, "{:?}", told.progress);
                execution.run(10_000_000);
            }
            Err(error) => assert!(!is_sound && error == RestoreError::Progress, "{error}"),
        }
    }
    // The library was initialised since.
    let told = ExecutionState {
        stages_left: state.stages_left - 1,
        ..state
    };
    let restored = restore(&program, &told, &pages, Script::default());
    assert_eq!(restored.err(), Some(RestoreError::Progress));
}
