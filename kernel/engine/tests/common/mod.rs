//! What the engine's tests share: a metered engine, modules from text, and a loop over slices.

use sos_engine::{
    CompilationMode, Config, Engine, Extern, Func, GuestMemory, Instance, Module, ResumableCall,
    Segments, StackLimits, Store, Val,
};

/// An engine as the kernel configures it.
pub fn engine() -> Engine {
    let mut config = Config::default();
    config
        .consume_fuel(true)
        .compilation_mode(CompilationMode::Eager)
        .set_max_cached_stacks(0);
    Engine::new(&config)
}

/// A running module with host data `T`.
pub struct Running<T: 'static> {
    pub store: Store<T>,
    pub instance: Instance,
    /// The start function, not yet run.
    #[allow(dead_code)] // not every test file looks at it
    pub start: Option<Func>,
}

#[allow(dead_code)] // not every test file looks at it
/// Instantiates `text`, whose memories get heap bytes for their maximum (or minimum).
pub fn instantiate(text: &str) -> Running<()> {
    let engine = engine();
    let module = Module::new(&engine, wat::parse_str(text).unwrap()).unwrap();
    let memories = module
        .defined_memories()
        .map(|memory| {
            let pages = memory.maximum().unwrap_or(memory.minimum());
            GuestMemory::zeroed(usize::try_from(pages).unwrap() * 65536)
        })
        .collect();
    instantiate_with(&engine, &module, (), |_| Vec::new(), memories)
}

/// Instantiates `module` with the imports that `imports` makes and these memories.
pub fn instantiate_with<T: 'static>(
    engine: &Engine,
    module: &Module,
    data: T,
    imports: impl FnOnce(&mut Store<T>) -> Vec<Extern>,
    memories: Vec<GuestMemory>,
) -> Running<T> {
    let mut store = Store::new(engine, data);
    store.set_stack_limits(StackLimits {
        value_bytes: 1 << 20,
        call_depth: 1000,
    });
    let imports = imports(&mut store);
    let (instance, start) = store
        .instantiate(module, imports, memories, Segments::Applied)
        .unwrap();
    Running {
        store,
        instance,
        start,
    }
}

/// The outcome of running an export to its end.
pub struct Ran {
    pub result: Result<Vec<Val>, sos_engine::Error>,
    pub slices: u64,
    pub fuel: u64,
    /// The most fuel that an operation asked for at once.
    pub most_required: u64,
}

impl<T: 'static> Running<T> {
    /// Runs `function` in slices of `slice` fuel. When an operation asks for more, it gets that.
    pub fn run(&mut self, function: Func, results: usize, slice: u64) -> Ran {
        self.run_with(function, &[], results, slice)
    }

    /// The same, with parameters.
    pub fn run_with(
        &mut self,
        function: Func,
        parameters: &[Val],
        results: usize,
        slice: u64,
    ) -> Ran {
        let mut outputs = vec![Val::I32(0); results];
        let mut ran = Ran {
            result: Ok(Vec::new()),
            slices: 1,
            fuel: 0,
            most_required: 0,
        };
        self.store.set_fuel(slice).unwrap();
        let mut granted = slice;
        let mut call = function.call_resumable(&mut self.store, parameters, &mut outputs);
        loop {
            let left = self.store.get_fuel().unwrap();
            match call {
                Ok(ResumableCall::Finished) => {
                    ran.fuel = granted - left;
                    ran.result = Ok(outputs);
                    return ran;
                }
                Ok(ResumableCall::OutOfFuel(suspended)) => {
                    let required = suspended.required_fuel();
                    ran.most_required = ran.most_required.max(required);
                    let wanted = (left + slice).max(required);
                    granted += wanted - left;
                    ran.slices += 1;
                    self.store.set_fuel(wanted).unwrap();
                    call = suspended.resume(&mut self.store, &mut outputs);
                }
                Ok(ResumableCall::HostTrap(suspended)) => {
                    ran.result = Err(suspended.into_host_error());
                    return ran;
                }
                Err(error) => {
                    ran.result = Err(error);
                    return ran;
                }
            }
        }
    }

    /// Runs the export `name`.
    pub fn run_export(&mut self, name: &str, results: usize, slice: u64) -> Ran {
        let function = self.instance.get_func(&self.store, name).unwrap();
        self.run(function, results, slice)
    }

    #[allow(dead_code)] // not every test file looks at it
    /// Runs the export `name` and returns its one integer.
    pub fn integer(&mut self, name: &str) -> i64 {
        match self.run_export(name, 1, 1_000_000).result.unwrap()[0] {
            Val::I32(value) => value.into(),
            Val::I64(value) => value,
            ref other => panic!("not an integer: {other:?}"),
        }
    }
}
