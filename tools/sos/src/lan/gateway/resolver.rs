//! Asks the host's resolver for names, on a thread of its own because it blocks.

use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use super::dns::Question;
use crate::wake::Waker;

/// Questions that wait for the host; further ones are answered with a failure.
const QUESTIONS_MAX: usize = 64;

/// A question and where its answer goes.
pub(super) struct Asked<Client> {
    pub(super) question: Question,
    pub(super) client: Client,
}

/// What the host knows.
pub(super) struct Resolved<Client> {
    pub(super) asked: Asked<Client>,
    /// `None` if the host does not know the name.
    pub(super) addresses: Option<Vec<IpAddr>>,
}

/// The worker's two queues. Its thread ends when this is dropped and its last question is done.
pub(super) struct Resolver<Client> {
    questions: SyncSender<Asked<Client>>,
    answers: Receiver<Resolved<Client>>,
}

impl<Client: Send + 'static> Resolver<Client> {
    /// Starts the worker; it wakes the LAN's thread for each answer.
    pub(super) fn start(waker: Arc<Waker>) -> std::io::Result<Self> {
        let (questions, asked) = sync_channel(QUESTIONS_MAX);
        let (resolved, answers) = channel();
        thread::Builder::new()
            .name("lan-resolver".to_owned())
            .spawn(move || work(&asked, &resolved, &waker))?;
        Ok(Self { questions, answers })
    }

    /// Hands a question over, or back if too many wait.
    pub(super) fn ask(&self, asked: Asked<Client>) -> Result<(), Asked<Client>> {
        self.questions.try_send(asked).map_err(|error| match error {
            std::sync::mpsc::TrySendError::Full(asked)
            | std::sync::mpsc::TrySendError::Disconnected(asked) => asked,
        })
    }

    /// The next answer, if one has come.
    pub(super) fn next_answer(&self) -> Option<Resolved<Client>> {
        self.answers.try_recv().ok()
    }
}

fn work<Client>(
    questions: &Receiver<Asked<Client>>,
    answers: &Sender<Resolved<Client>>,
    waker: &Waker,
) {
    while let Ok(asked) = questions.recv() {
        let found = (asked.question.name.as_str(), 0).to_socket_addrs();
        let addresses = found
            .ok()
            .map(|found| found.map(|address| address.ip()).collect());
        if answers.send(Resolved { asked, addresses }).is_err() {
            return;
        }
        waker.wake();
    }
}
