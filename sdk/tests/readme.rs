//! What the repository's README shows of the SDK is what this crate's README has compiled.

/// The pieces of Rust in a text, without the lines that only make them compile.
fn pieces(text: &str) -> Vec<String> {
    let parts = text.split("```rust").skip(1);
    let bodies = parts.filter_map(|part| part.split_once('\n')?.1.split("```").next());
    let shown = bodies.map(|body| {
        let lines = body.lines().filter(|line| !line.starts_with("# "));
        lines.collect::<Vec<_>>().join("\n").trim().to_string()
    });
    shown.collect()
}

#[test]
fn the_readme_shows_what_was_compiled() {
    let compiled = pieces(include_str!("../README.md"));
    let shown = pieces(include_str!("../../README.md"));
    let mut count = 0;
    for piece in shown.iter().filter(|piece| !piece.contains("http::")) {
        assert!(compiled.contains(piece), "not in sdk/README.md:\n{piece}");
        count += 1;
    }
    assert!(count >= 2, "{count} pieces");
    // The first service is that of the template.
    let first = shown.iter().find(|piece| piece.contains("http::"));
    assert!(first.is_some_and(|piece| piece.contains("sos_sdk::main!(serve);")));
}
