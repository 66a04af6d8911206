//! Sessions whose calls are captured and restored between slices, in a new store each time: how the
//! capture of programs is judged by the specification's suite.

use super::{Session, SessionBounds, supply};
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sos_engine::frames::{CallStack, CaptureError, Restored};
use sos_engine::state::{Member, References, StoreState};
use sos_engine::{
    Extern, ExternType, GuestMemory, Instance, Module, ResumableCallOutOfFuel, Segments, Store,
};

/// Slices of one call, after which it runs on in one place: some calls run for millions of slices.
const MOVES_OF_CALL: u64 = 8;
/// Bytes that are looked at together when the contents of a memory are copied.
const CHUNK_BYTES: usize = 4096;
static ZEROS: [u8; CHUNK_BYTES] = [0; CHUNK_BYTES];

/// How a session moves, and what came of it.
#[derive(Debug)]
pub struct Moving {
    /// Fuel between two moves.
    pub slice_fuel: u64,
    /// Times that a call was moved.
    pub moves: u64,
    /// Why calls were not moved.
    pub refusals: Vec<String>,
}

/// What an instance was made of: its module, and for each import the instance and the name of an export.
#[derive(Debug)]
pub(super) struct Made {
    pub module: usize,
    pub imports: Vec<(usize, String)>,
}

impl Session {
    /// The suspended call in a new store that holds the same, which takes the place of this one's; or where
    /// it is, when it is between safepoints or has been moved often.
    pub(super) fn moved(
        &mut self,
        call: ResumableCallOutOfFuel,
        slice: u64,
    ) -> ResumableCallOutOfFuel {
        if self.moving.is_none() || !goes_on(slice) {
            return call;
        }
        match self.try_move(&call) {
            Ok(Some((store, instances, moved))) => {
                (self.store, self.instances) = (store, instances);
                self.note(|moving| moving.moves += 1);
                moved
            }
            Ok(None) => call,
            Err(reason) => {
                self.note(|moving| moving.refusals.push(reason));
                call
            }
        }
    }

    fn note(&mut self, change: impl FnOnce(&mut Moving)) {
        if let Some(moving) = &mut self.moving {
            change(moving);
        }
    }

    #[allow(clippy::type_complexity)] // the three things that a move makes
    fn try_move(
        &self,
        call: &ResumableCallOutOfFuel,
    ) -> Result<Option<(Store<SessionBounds>, Vec<Instance>, ResumableCallOutOfFuel)>, String> {
        let members = members_of(&self.modules, &self.made, &self.instances);
        let references = References::new(&self.store, &members);
        let calls = match call.capture(&self.store, &references) {
            Ok(calls) => calls,
            Err(CaptureError::BetweenSafepoints { .. }) => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let state = StoreState::capture(&self.store, &members).map_err(|it| it.to_string())?;
        let (calls, state): (CallStack, StoreState) =
            (through_bytes(&calls)?, through_bytes(&state)?);
        let mut store = Session::new_store(&self.engine);
        let mut instances: Vec<Instance> = Vec::new();
        for (place, made) in self.made.iter().enumerate() {
            instances.push(self.make_again(&mut store, &instances, place, made)?);
            let member = &members_of(&self.modules, &self.made, &instances)[place];
            let sized = state.restore_sizes(&mut store, place as u32, member);
            sized.map_err(|error| error.to_string())?;
        }
        let members = members_of(&self.modules, &self.made, &instances);
        let restored = state.restore(&mut store, &members);
        let mut references = restored.map_err(|error| error.to_string())?;
        match calls.restore(&mut store, &mut references) {
            Ok(Restored::OutOfFuel(call)) => Ok(Some((store, instances, call))),
            Ok(Restored::HostCall(_)) => Err("a call out of fuel became a host call".to_string()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Makes the instance at `place` in another store, with what its memories hold here.
    fn make_again(
        &self,
        store: &mut Store<SessionBounds>,
        instances: &[Instance],
        place: usize,
        made: &Made,
    ) -> Result<Instance, String> {
        let module = &self.modules[made.module];
        let imports = made.imports.iter().map(|(from, name)| {
            let found = instances[*from].get_export(&*store, name);
            found.ok_or_else(|| "an import is not there".to_string())
        });
        let imports: Vec<Extern> = imports.collect::<Result<_, _>>()?;
        let memories = self.copies(module, self.instances[place]);
        let made = store.instantiate(module, imports, memories, Segments::Skipped);
        made.map(|(instance, _)| instance)
            .map_err(|error| error.to_string())
    }

    /// Copies of the memories that an instance's module defines.
    fn copies(&self, module: &Module, instance: Instance) -> Vec<GuestMemory> {
        let imports = module.imports();
        let imported = imports.filter(|import| matches!(import.ty(), ExternType::Memory(_)));
        let indices = imported.count() as u32..;
        let copies = indices
            .zip(supply::requests(module))
            .map(|(index, request)| {
                let mut copy = vec![0; usize::try_from(request.maximum_bytes).unwrap_or(0)];
                if let Some(memory) = instance.memory(&self.store, index) {
                    copy_touched(memory.data(&self.store), &mut copy);
                }
                GuestMemory::from_vec(copy)
            });
        copies.collect()
    }
}

/// Whether a call still moves after so many slices.
pub(super) fn goes_on(slice: u64) -> bool {
    slice < MOVES_OF_CALL
}

/// Copies what is not zero, so that what was never touched stays so.
fn copy_touched(from: &[u8], to: &mut [u8]) {
    for (from, to) in from.chunks(CHUNK_BYTES).zip(to.chunks_mut(CHUNK_BYTES)) {
        if *from != ZEROS[..from.len()] {
            to[..from.len()].copy_from_slice(from);
        }
    }
}

/// The set as the engine wants to be told of it; those that are not made yet have no instance.
fn members_of<'a>(modules: &'a [Module], made: &[Made], instances: &[Instance]) -> Vec<Member<'a>> {
    let members = made.iter().enumerate().map(|(place, made)| Member {
        module: &modules[made.module],
        instance: instances.get(place).copied(),
    });
    members.collect()
}

fn through_bytes<T: Serialize + DeserializeOwned>(value: &T) -> Result<T, String> {
    let bytes = postcard::to_allocvec(value).map_err(|error| error.to_string())?;
    postcard::from_bytes(&bytes).map_err(|error| error.to_string())
}
