//! Blobs that an operator sends in pieces.

use super::{Kernel, Session, unexpected};
use crate::image::BlobHash;
use crate::kernel::admission;
use crate::limits;
use crate::machine::Machine;
use crate::operator::{Refusal, Violation};
use alloc::sync::Arc;
use sha2::{Digest, Sha256};

/// A blob on its way.
pub(super) struct Upload {
    request: u32,
    hash: BlobHash,
    /// Where its bytes go; none when the blob is there already or refused: what comes is dropped.
    place: Option<Place>,
    bytes: usize,
    received: usize,
}

struct Place {
    bytes: Arc<[u8]>,
    sum: Sha256,
}

impl Kernel {
    pub(super) fn begin_upload(
        &mut self,
        machine: &mut dyn Machine,
        session: &mut Session,
        request: u32,
        hash: BlobHash,
        bytes: u64,
    ) -> Result<(), Violation> {
        if session.upload.is_some() {
            return Err(unexpected("a blob within another"));
        }
        let place = if self.blobs.contains(&hash) {
            session.done(request);
            None
        } else {
            match self.place(machine, bytes) {
                Ok(place) => Some(place),
                Err(refusal) => {
                    session.refuse(request, refusal);
                    None
                }
            }
        };
        session.upload = Some(Upload {
            request,
            hash,
            place,
            // Only compared: a length beyond every memory is never reached.
            bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
            received: 0,
        });
        self.finish_upload(session);
        Ok(())
    }

    /// Room for a blob, if the node has it.
    fn place(&mut self, machine: &mut dyn Machine, bytes: u64) -> Result<Place, Refusal> {
        if bytes > limits::BLOB_BYTES as u64 {
            return Err(Refusal::BlobTooLarge { bytes });
        }
        while self.blobs.make_room(bytes) < bytes || admission::blob(machine, bytes).is_err() {
            if !self.forget_translation() {
                break;
            }
        }
        let room_bytes = self.blobs.make_room(bytes);
        if room_bytes < bytes {
            return Err(Refusal::BlobsFull { room_bytes, bytes });
        }
        admission::blob(machine, bytes)
            .map_err(|refusal| Refusal::Control(alloc::format!("{refusal}")))?;
        Ok(Place {
            bytes: core::iter::repeat_n(0, bytes as usize).collect(),
            sum: Sha256::new(),
        })
    }

    pub(super) fn continue_upload(
        &mut self,
        session: &mut Session,
        request: u32,
        data: &[u8],
    ) -> Result<(), Violation> {
        let upload = session.upload.as_mut();
        let Some(upload) = upload.filter(|upload| upload.request == request) else {
            return Err(unexpected("bytes of a blob that was not announced"));
        };
        let end = upload.received + data.len();
        if end > upload.bytes {
            return Err(Violation::BeyondRoom { request });
        }
        if let Some(place) = &mut upload.place {
            place.sum.update(data);
            // Nobody else has a share of the bytes before they are complete.
            if let Some(bytes) = Arc::get_mut(&mut place.bytes) {
                bytes[upload.received..end].copy_from_slice(data);
            }
        }
        upload.received = end;
        self.finish_upload(session);
        Ok(())
    }

    /// Keeps the blob if all of it is there.
    fn finish_upload(&mut self, session: &mut Session) {
        let complete = |upload: &mut Upload| upload.received == upload.bytes;
        let Some(upload) = session.upload.take_if(complete) else {
            return;
        };
        let Some(place) = upload.place else {
            return;
        };
        if BlobHash(place.sum.finalize().into()) != upload.hash {
            let promised = upload.hash;
            return session.refuse(upload.request, Refusal::WrongHash { promised });
        }
        self.blobs.put(upload.hash, place.bytes);
        session.done(upload.request);
    }
}
