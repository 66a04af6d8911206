//! From a place in a manifest's data to the line of its text.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The line, from one, that the byte at `offset` lies in.
pub fn line_at(text: &str, offset: usize) -> usize {
    let end = offset.min(text.len());
    text.as_bytes()[..end]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count()
        + 1
}

/// The line of the key at the end of `path`, or of the last of its keys that is there; `element`
/// picks one from a list at the end.
pub fn line_of<S: AsRef<str>>(text: &str, path: &[S], element: Option<usize>) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let mut table = document.get_ref();
    let mut found: Option<(usize, &Spanned<DeValue<'_>>)> = None;
    for key in path {
        let Some((name, value)) = table
            .iter()
            .find(|(name, _)| name.get_ref().as_ref() == key.as_ref())
        else {
            break;
        };
        found = Some((name.span().start, value));
        match value.get_ref().as_table() {
            Some(inner) => table = inner,
            None => break,
        }
    }
    let (mut offset, value) = found?;
    let list = value.get_ref().as_array();
    if let (Some(element), Some(list)) = (element, list)
        && let Some(item) = list.get(element)
    {
        offset = item.span().start;
    }
    Some(line_at(text, offset))
}
