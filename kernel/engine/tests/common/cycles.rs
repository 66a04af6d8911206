//! Runs programs with captures on the way: each suspended call is captured, goes through bytes into
//! a new engine and store, and continues there. The oracle is the same program without captures.

use sos_engine::frames::{CallStack, CaptureError, Restored};
use sos_engine::state::{Member, References, StoreState};
use sos_engine::{
    Engine, Extern, ExternType, Func, GuestMemory, Instance, Module, Ref, ResumableCall, Segments,
    StackLimits, Store, Val,
};

/// The modules of a set as bytes, each importing from those before it or from the host.
pub struct Program {
    pub modules: Vec<Vec<u8>>,
}

/// A set of modules in a store.
pub struct World {
    pub engine: Engine,
    pub store: Store<Vec<Vec<u64>>>,
    pub modules: Vec<Module>,
    pub instances: Vec<Instance>,
    pub starts: Vec<Option<Func>>,
}

/// How a run ended, and what can be seen of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The results, or why it ended.
    pub result: Result<Vec<String>, String>,
    /// Everything that is exported.
    pub visible: Vec<String>,
    /// The arguments of the calls to the host.
    pub host_calls: Vec<Vec<u64>>,
    pub fuel: u64,
}

/// When a run is captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Captures {
    Never,
    /// At every suspension, into the same store.
    Here,
    /// At every suspension, into a new engine and store.
    #[allow(dead_code)] // not every test file does
    Elsewhere,
}

/// A run with its figures.
pub struct Ran {
    pub outcome: Outcome,
    pub captures: usize,
    pub deepest: usize,
    /// Call stacks as bytes, at most this many.
    pub stacks: Vec<Vec<u8>>,
}

/// Bytes that a memory gets for growing, at most.
const MEMORY_BYTES: u64 = 1 << 20;
/// Slices after which a run is given up as endless: the same with and without captures.
const MAXIMUM_FUEL: u64 = 200_000;

impl Program {
    #[allow(dead_code)] // not every test file writes its modules
    pub fn new(texts: &[&str]) -> Program {
        let parse = |text: &&str| wat::parse_str(text).unwrap();
        Program {
            modules: texts.iter().map(parse).collect(),
        }
    }

    /// Makes the set. Imports of `host` are host functions that suspend; the module `m0` is the
    /// first of the set, and so on.
    pub fn world(&self, segments: Segments) -> World {
        self.try_world(segments).unwrap()
    }

    /// The same, unless an instantiation fails.
    pub fn try_world(&self, segments: Segments) -> Result<World, sos_engine::Error> {
        let engine = super::common::engine();
        let mut store = Store::new(&engine, Vec::new());
        store.set_stack_limits(StackLimits {
            value_bytes: 1 << 20,
            call_depth: 400,
        });
        let mut world = World {
            engine,
            store,
            modules: Vec::new(),
            instances: Vec::new(),
            starts: Vec::new(),
        };
        for bytes in &self.modules {
            world.add(bytes, segments)?;
        }
        Ok(world)
    }

    /// Runs the export `name` of the last module, in slices of `slice` fuel.
    pub fn run(&self, name: &str, slice: u64, captures: Captures) -> Ran {
        let world = self.world(Segments::Applied);
        let function = world.export(name);
        self.run_function(world, function, slice, captures)
    }

    /// Runs `function` of `world`.
    pub fn run_function(
        &self,
        mut world: World,
        function: Func,
        slice: u64,
        captures: Captures,
    ) -> Ran {
        let ty = function.ty(&world.store);
        let arguments: Vec<Val> = ty
            .params()
            .iter()
            .map(|ty| Val::default_for_ty(*ty))
            .collect();
        let mut outputs: Vec<Val> = ty
            .results()
            .iter()
            .map(|ty| Val::default_for_ty(*ty))
            .collect();
        let mut ran = Ran {
            outcome: Outcome {
                result: Err(String::new()),
                visible: Vec::new(),
                host_calls: Vec::new(),
                fuel: 0,
            },
            captures: 0,
            deepest: 0,
            stacks: Vec::new(),
        };
        let (mut granted, mut host_calls) = (slice, Vec::new());
        world.store.set_fuel(slice).unwrap();
        let mut call = function.call_resumable(&mut world.store, &arguments, &mut outputs);
        let result = loop {
            let left = world.store.get_fuel().unwrap();
            host_calls.append(world.store.data_mut());
            match call {
                Ok(ResumableCall::Finished) => break Ok(world.show_all(&outputs)),
                Err(error) => break Err(error.to_string()),
                Ok(ResumableCall::OutOfFuel(mut suspended)) => {
                    if granted > MAXIMUM_FUEL {
                        break Err("endless".into());
                    }
                    let required = suspended.required_fuel();
                    if captures != Captures::Never {
                        let references = world.references();
                        match suspended.capture(&world.store, &references) {
                            Ok(stack) => {
                                let moved = ran.cycle(self, &mut world, &stack, captures);
                                let Restored::OutOfFuel(restored) = moved else {
                                    panic!("restored in a host call")
                                };
                                suspended = restored;
                            }
                            Err(CaptureError::BetweenSafepoints { required_fuel }) => {
                                assert_eq!(required_fuel, required);
                            }
                            Err(error) => panic!("{error}"),
                        }
                    }
                    let wanted = (left + slice).max(required);
                    granted += wanted - left;
                    world.store.set_fuel(wanted).unwrap();
                    call = suspended.resume(&mut world.store, &mut outputs);
                }
                Ok(ResumableCall::HostTrap(mut suspended)) => {
                    if captures != Captures::Never {
                        let references = world.references();
                        let stack = suspended.capture(&world.store, &references).unwrap();
                        let Restored::HostCall(restored) =
                            ran.cycle(self, &mut world, &stack, captures)
                        else {
                            panic!("restored without the host call")
                        };
                        suspended = restored;
                    }
                    world.store.set_fuel(left).unwrap();
                    let results = suspended.host_func().ty(&world.store);
                    let answer = |(index, ty): (usize, &sos_engine::ValType)| match ty {
                        sos_engine::ValType::I32 => {
                            Val::I32(host_calls.len() as i32 * 7 + index as i32)
                        }
                        sos_engine::ValType::I64 => Val::I64(host_calls.len() as i64 * 11),
                        other => Val::default_for_ty(*other),
                    };
                    let answers: Vec<Val> =
                        results.results().iter().enumerate().map(answer).collect();
                    call = suspended.resume(&mut world.store, &answers, &mut outputs);
                }
            }
        };
        ran.outcome = Outcome {
            result,
            visible: world.visible(),
            host_calls,
            fuel: granted - world.store.get_fuel().unwrap(),
        };
        ran
    }
}

impl Ran {
    /// Sends `stack` through bytes and makes the call again, `world` becoming where it is.
    fn cycle(
        &mut self,
        program: &Program,
        world: &mut World,
        stack: &CallStack,
        captures: Captures,
    ) -> Restored {
        self.captures += 1;
        self.deepest = self.deepest.max(stack.frames.len());
        let bytes = postcard::to_allocvec(stack).unwrap();
        if self.stacks.len() < 2000 {
            self.stacks.push(bytes.clone());
        }
        let read: CallStack = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(&read, stack);
        let mut references = match captures {
            Captures::Elsewhere => {
                let mut other = program.world(Segments::Skipped);
                let references = world.copy_state(&mut other);
                *world = other;
                references
            }
            _ => world.references(),
        };
        read.restore(&mut world.store, &mut references)
            .unwrap_or_else(|error| panic!("{error}: {read:?}"))
    }
}

impl World {
    fn add(&mut self, bytes: &[u8], segments: Segments) -> Result<(), sos_engine::Error> {
        let module = Module::new(&self.engine, bytes)?;
        let mut imports: Vec<Extern> = Vec::new();
        for import in module.imports() {
            imports.push(match import.module().strip_prefix('m') {
                Some(place) => {
                    let place: usize = place.parse().unwrap();
                    let instance = self.instances[place];
                    instance.get_export(&self.store, import.name()).unwrap()
                }
                None => {
                    let ExternType::Func(signature) = import.ty() else {
                        panic!("not a function")
                    };
                    suspending(&mut self.store, signature).into()
                }
            });
        }
        let memories = module.defined_memories().map(|memory| {
            let most = memory
                .maximum()
                .unwrap_or(u64::MAX)
                .saturating_mul(memory.page_bytes());
            let bytes = (memory.minimum() * memory.page_bytes()).max(most.min(MEMORY_BYTES));
            GuestMemory::zeroed(bytes as usize)
        });
        let memories = memories.collect();
        let made = self.store.instantiate(&module, imports, memories, segments);
        let (instance, start) = made?;
        self.instances.push(instance);
        self.modules.push(module);
        self.starts.push(start);
        Ok(())
    }

    /// Names of the functions that the last module exports.
    #[allow(dead_code)] // not every test file asks
    pub fn function_exports(&self) -> Vec<String> {
        let instance = self.instances.last().unwrap();
        let exports = instance.exports(&self.store);
        let functions = exports.filter(|export| export.ty(&self.store).func().is_some());
        functions.map(|export| export.name().to_string()).collect()
    }

    fn set(&self) -> Vec<Member<'_>> {
        let members = self.modules.iter().zip(&self.instances);
        let member = |(module, instance): (_, &Instance)| Member {
            module,
            instance: Some(*instance),
        };
        members.map(member).collect()
    }

    /// The names of the functions of the set.
    pub fn references(&self) -> References {
        References::new(&self.store, &self.set())
    }

    /// The function that the last module exports as `name`.
    pub fn export(&self, name: &str) -> Func {
        let instance = self.instances.last().unwrap();
        instance.get_func(&self.store, name).unwrap()
    }

    fn show(&self, value: &Val) -> String {
        match value {
            Val::F32(value) => format!("f32 {:x}", value.to_bits()),
            Val::F64(value) => format!("f64 {:x}", value.to_bits()),
            Val::FuncRef(function) => match function.val() {
                Some(function) => format!("{:?}", self.references().name_of(&self.store, function)),
                None => "null".into(),
            },
            Val::ExternRef(external) => format!("external, null: {}", external.is_null()),
            other => format!("{other:?}"),
        }
    }

    fn show_all(&self, values: &[Val]) -> Vec<String> {
        values.iter().map(|value| self.show(value)).collect()
    }

    /// All exports of all modules, as text.
    fn visible(&self) -> Vec<String> {
        let mut visible = Vec::new();
        for instance in &self.instances {
            for export in instance.exports(&self.store) {
                let name = export.name().to_string();
                let shown = match export.into_extern() {
                    Extern::Global(global) => self.show(&global.get(&self.store)),
                    Extern::Memory(memory) => {
                        let bytes = memory.data(&self.store);
                        let sum = bytes.iter().fold(bytes.len() as u64, |sum, byte| {
                            sum.wrapping_mul(0x100_0000_01b3) ^ u64::from(*byte)
                        });
                        format!("{sum:x}")
                    }
                    Extern::Table(table) => {
                        let size = table.size(&self.store);
                        let all = (0..size).map(|index| table.get(&self.store, index).unwrap());
                        format!(
                            "{:?}",
                            all.map(|it| self.show(&val(it))).collect::<Vec<_>>()
                        )
                    }
                    Extern::Func(_) => continue,
                };
                visible.push(format!("{name}={shown}"));
            }
        }
        visible
    }

    /// Copies everything that the store holds, through bytes.
    fn copy_state(&self, to: &mut World) -> References {
        let state = StoreState::capture(&self.store, &self.set()).unwrap();
        let bytes = postcard::to_allocvec(&state).unwrap();
        let state: StoreState = postcard::from_bytes(&bytes).unwrap();
        let (modules, instances) = (to.modules.clone(), to.instances.clone());
        let member = |(module, instance)| Member {
            module,
            instance: Some(instance),
        };
        let set: Vec<_> = modules.iter().zip(instances).map(member).collect();
        let references = state.restore(&mut to.store, &set).unwrap();
        for (old, new) in self.instances.iter().zip(&to.instances) {
            for index in 0.. {
                let (old, new) = (old.memory(&self.store, index), new.memory(&to.store, index));
                let (Some(old), Some(new)) = (old, new) else {
                    break;
                };
                new.data_mut(&mut to.store)
                    .copy_from_slice(old.data(&self.store));
            }
        }
        references
    }
}

fn val(reference: Ref) -> Val {
    match reference {
        Ref::Func(function) => Val::FuncRef(function),
        Ref::Extern(external) => Val::ExternRef(external),
    }
}

/// A host function that notes its arguments and suspends its caller.
fn suspending(store: &mut Store<Vec<Vec<u64>>>, signature: &sos_engine::FuncType) -> Func {
    Func::new(store, signature.clone(), |mut caller, arguments, _| {
        let bits = |value: &Val| match value {
            Val::I32(value) => *value as u32 as u64,
            Val::I64(value) => *value as u64,
            Val::F32(value) => value.to_bits().into(),
            Val::F64(value) => value.to_bits(),
            _ => 0,
        };
        let arguments = arguments.iter().map(bits).collect();
        caller.data_mut().push(arguments);
        Err(sos_engine::Error::i32_exit(1))
    })
}
