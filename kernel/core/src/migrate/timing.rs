//! How long each step of a hand-over may take. None of these bounds decides who runs the instance: before
//! COMMIT a late step gives up, after it a late answer is only asked for again.

use crate::machine::Duration;

/// For a connection and the target's admission of an offer.
pub const ADMISSION: Duration = Duration::from_secs(10);
/// For the target to translate the program.
pub const TRANSLATION: Duration = Duration::from_secs(120);
/// Without a sign of the other node, or of the connection, while pages are copied.
pub const SILENCE: Duration = Duration::from_secs(15);
/// How long an instance that moves with a group and waits for it runs on before what it has changed is copied once more.
pub const GATE: Duration = Duration::from_millis(250);
/// After a look so old it is looked at once more before it is stopped, since all others can be.
pub const FRESH: Duration = Duration::from_millis(10);
/// From the last byte of the state of an instance that moves live until the target is prepared.
pub const PREPARATION: Duration = Duration::from_secs(2);
/// Until a question is asked again the first time; twice as long each time after that.
pub const FIRST_QUESTION: Duration = Duration::from_millis(500);
/// The longest time between two questions.
pub const LAST_QUESTION: Duration = Duration::from_secs(30);
/// Questions without an answer after which the hand-over is said to be in doubt though there is a link.
pub const QUESTIONS: u32 = 3;
/// For how long the source passes on frames that still reach it.
pub const FORWARDING: Duration = Duration::from_secs(5);
/// For how long a target takes frames that the source passes on, from when that has let go: a second more,
/// since the last of them are on their way when the source stops.
pub const TAILING: Duration = Duration::from_secs(6);
/// For how long a target that runs the instance tells a source that does not answer.
pub const TELLING: Duration = Duration::from_secs(600);

/// When to ask again after `asked` questions.
pub fn question(asked: u32) -> Duration {
    let doubled = FIRST_QUESTION * (1 << asked.min(6));
    doubled.min(LAST_QUESTION)
}
