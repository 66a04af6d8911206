//! References as data and back: a function by its module's place and its index, a thing of the host's by the
//! number that the host gave it.

use super::{FunctionRef, Member, Problem, Value};
use crate::core::{RawRef, RawVal};
use crate::engine::Inst;
use crate::store::StoreInner;
use crate::{ExternRef, Func, Instance, Nullable, Store, V128, ValType};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cell::OnceCell;
use core::num::NonZero;

/// The functions of a set, to be named and found.
#[derive(Debug)]
pub struct References {
    /// By the modules' places.
    members: Vec<Functions>,
    /// What members define, by their first function's handle.
    by_handle: Vec<Defined>,
    /// Functions that no member defines, by handle; gathered when the first is asked for.
    host: OnceCell<Vec<(u32, FunctionRef)>>,
    /// What stands for the host's numbers, made when the first reference to each is restored.
    externals: BTreeMap<u32, ExternRef>,
}

#[derive(Debug, Clone, Copy)]
struct Functions {
    instance: Option<Instance>,
    imported: u32,
}

/// The functions that a member defines: their handles ascend by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Defined {
    first_handle: u32,
    count: u32,
    place: u32,
    /// Index of the first.
    first_index: u32,
}

impl Defined {
    /// The name of the function whose handle is `raw`, if it is one of these.
    fn name(&self, raw: u32) -> Option<FunctionRef> {
        let offset = raw.wrapping_sub(self.first_handle);
        (offset < self.count).then_some(FunctionRef {
            module: self.place,
            function: self.first_index + offset,
        })
    }
}

/// Names the functions of a table, of which neighbours are mostly defined by one module: arithmetic
/// alone, since 100 000 are named while their program stands. Those of the host, which are few in real programs,
/// are looked up once.
pub(crate) struct Names<'a> {
    references: &'a References,
    store: &'a StoreInner,
    last: Option<Defined>,
    /// Functions of the host that were named, by handle.
    host: [Option<(u32, FunctionRef)>; HOST_NAMES],
}

/// Names of the host's functions that are remembered at once: more than there are host calls.
const HOST_NAMES: usize = 256;

impl Names<'_> {
    /// See [`References::name`].
    pub(crate) fn name(&mut self, reference: RawRef) -> Result<Option<FunctionRef>, Problem> {
        let raw = u32::from(reference);
        if let Some(name) = self.last.and_then(|last| last.name(raw)) {
            return Ok(Some(name));
        }
        let slot = raw as usize % HOST_NAMES;
        if let Some((known, name)) = self.host[slot]
            && known == raw
        {
            return Ok(Some(name));
        }
        let name = self.references.name(self.store, reference)?;
        self.last = self.references.defined(raw).copied();
        if let Some(name) = name
            && self.last.and_then(|last| last.name(raw)).is_none()
        {
            self.host[slot] = Some((raw, name));
        }
        Ok(name)
    }
}

impl References {
    /// Those of `set`, whose instances are in `store`.
    pub fn new<T>(store: &Store<T>, set: &[Member<'_>]) -> References {
        let members = set.iter().map(|member| Functions {
            instance: member.instance,
            imported: u32::try_from(member.module.get_imports().len_funcs()).unwrap_or(u32::MAX),
        });
        let members: Vec<_> = members.collect();
        let told = (0..).zip(members.iter().zip(set));
        let runs = told.filter_map(|(place, (member, told))| {
            let count = u32::try_from(told.module.len_funcs()).ok()? - member.imported;
            defined(&store.inner, member, place, count)
        });
        let mut by_handle: Vec<_> = runs.collect();
        by_handle.sort_unstable();
        References {
            members,
            by_handle,
            host: OnceCell::new(),
            externals: BTreeMap::new(),
        }
    }

    /// The name of `function`, if it is one of the set.
    pub fn name_of<T>(&self, store: &Store<T>, function: &Func) -> Option<FunctionRef> {
        let raw = handle(&store.inner, function)?;
        self.name(&store.inner, raw.into()).ok().flatten()
    }

    /// The function `name`, if there is one.
    pub fn function<T>(&self, store: &Store<T>, name: FunctionRef) -> Option<Func> {
        let member = self.members.get(name.module as usize)?;
        function(&store.inner, member, name.function)
    }

    /// The place of the module that `instance` is made of.
    pub(crate) fn place_of(&self, store: &StoreInner, instance: Inst) -> Option<u32> {
        let is_it = |member: &Functions| {
            let entity = member.instance.map(|it| store.resolve_instance(&it));
            entity.is_some_and(|entity| Inst::from(entity) == instance)
        };
        let place = self.members.iter().position(is_it)?;
        u32::try_from(place).ok()
    }

    /// The instances with their places.
    pub(crate) fn places(&self, store: &StoreInner) -> Vec<(Inst, u32)> {
        let members = (0..).zip(&self.members);
        let places = members.filter_map(|(place, member)| {
            let entity = store.resolve_instance(&member.instance?);
            Some((Inst::from(entity), place))
        });
        places.collect()
    }

    /// Names functions one after the other.
    pub(crate) fn names<'a>(&'a self, store: &'a StoreInner) -> Names<'a> {
        Names {
            references: self,
            store,
            last: None,
            host: [None; HOST_NAMES],
        }
    }

    /// The raw bits of `value` of type `value_type` as data.
    pub(crate) fn capture(
        &self,
        store: &StoreInner,
        value_type: ValType,
        value: RawVal,
    ) -> Result<Value, Problem> {
        Ok(match value_type {
            ValType::I32 => Value::I32(value.into()),
            ValType::I64 => Value::I64(value.into()),
            ValType::F32 => Value::F32(value.into()),
            ValType::F64 => Value::F64(value.into()),
            ValType::V128 => Value::V128(V128::from(value).as_u128()),
            ValType::FuncRef => Value::Function(self.name(store, value.into())?),
            ValType::ExternRef => Value::External(self.number(store, value.into())?),
        })
    }

    /// The raw bits of `value`, which must be of type `value_type`.
    pub(crate) fn restore(
        &mut self,
        store: &mut StoreInner,
        value_type: ValType,
        value: Value,
    ) -> Result<RawVal, Problem> {
        Ok(match (value_type, value) {
            (ValType::I32, Value::I32(bits)) | (ValType::F32, Value::F32(bits)) => bits.into(),
            (ValType::I64, Value::I64(bits)) | (ValType::F64, Value::F64(bits)) => bits.into(),
            (ValType::V128, Value::V128(bits)) => V128::from(bits).into(),
            (ValType::FuncRef, Value::Function(name)) => self.find(store, name)?.into(),
            (ValType::ExternRef, Value::External(number)) => self.object(store, number).into(),
            _ => return Err(Problem::Type),
        })
    }

    /// The name of the function that `reference` is.
    pub(crate) fn name(
        &self,
        store: &StoreInner,
        reference: RawRef,
    ) -> Result<Option<FunctionRef>, Problem> {
        let raw = u32::from(reference);
        if raw == 0 {
            return Ok(None);
        }
        let defined = self.defined_name(raw);
        let host = || {
            let host = self.host(store);
            let first = host.partition_point(|(handle, _)| *handle < raw);
            let found = host.get(first).filter(|(handle, _)| *handle == raw);
            found.map(|(_, name)| *name)
        };
        defined.or_else(host).map(Some).ok_or(Problem::Foreign)
    }

    /// The functions that `raw` may be among.
    fn defined(&self, raw: u32) -> Option<&Defined> {
        let after = self
            .by_handle
            .partition_point(|defined| defined.first_handle <= raw);
        self.by_handle.get(after.checked_sub(1)?)
    }

    /// Functions that members import and none defines, by handle, each with its first name in the order of the set.
    /// Imports may be 25 000 and have few functions among them: most are known by a look into a table.
    fn host(&self, store: &StoreInner) -> &[(u32, FunctionRef)] {
        self.host.get_or_init(|| {
            let mut seen = [0; HOST_NAMES];
            let mut names: Vec<(u32, FunctionRef)> = Vec::new();
            for (module, member) in (0..).zip(&self.members) {
                let Some(instance) = member.instance else {
                    continue;
                };
                let entity = store.resolve_instance(&instance);
                for function in 0..member.imported {
                    let address = entity.layout().func_addr(function);
                    let found = address.and_then(|address| entity.get_func(address));
                    let Some(handle) = found.and_then(|found| handle(store, &found)) else {
                        continue;
                    };
                    let seen = &mut seen[handle as usize % HOST_NAMES];
                    if *seen != handle && self.defined_name(handle).is_none() {
                        names.push((handle, FunctionRef { module, function }));
                    }
                    *seen = handle;
                }
            }
            // The first of a handle stays: the sort keeps their order.
            names.sort_by_key(|(handle, _)| *handle);
            names.dedup_by_key(|(handle, _)| *handle);
            names
        })
    }

    /// The name of the function whose handle is `raw`, if a member defines it.
    fn defined_name(&self, raw: u32) -> Option<FunctionRef> {
        self.defined(raw).and_then(|defined| defined.name(raw))
    }

    /// The bits of a reference to the function `name`.
    pub(crate) fn find(
        &self,
        store: &StoreInner,
        name: Option<FunctionRef>,
    ) -> Result<RawRef, Problem> {
        let Some(name) = name else {
            return Ok(RawRef::null());
        };
        let member = self.members.get(name.module as usize);
        let found = member.and_then(|member| function(store, member, name.function));
        let raw = found.and_then(|found| handle(store, &found));
        raw.map(RawRef::from).ok_or(Problem::Function(name))
    }

    /// The number of the host's thing that `reference` is.
    pub(crate) fn number(
        &self,
        store: &StoreInner,
        reference: RawRef,
    ) -> Result<Option<u32>, Problem> {
        let Some(raw) = NonZero::new(u32::from(reference)) else {
            return Ok(None);
        };
        let object = ExternRef::from_raw_parts(raw, store);
        let object = store.try_resolve_externref(&object).ok();
        let number = object.and_then(|object| object.data().downcast_ref::<u32>());
        number.copied().map(Some).ok_or(Problem::Foreign)
    }

    /// The bits of a reference to the host's thing `number`.
    pub(crate) fn object(&mut self, store: &mut StoreInner, number: Option<u32>) -> RawRef {
        let Some(number) = number else {
            return RawRef::null();
        };
        let object = *self.externals.entry(number).or_insert_with(|| {
            store.alloc_extern_object(crate::reftype::ExternRefEntity::new(number))
        });
        let raw = Nullable::Val(object).unwrap_raw(&*store);
        raw.unwrap_or(RawRef::null())
    }
}

/// The functions that a member defines, `count` of them. An instance makes them one after the other, so
/// that the handles of the first and the last tell those between; none if they do not.
fn defined(store: &StoreInner, member: &Functions, place: u32, count: u32) -> Option<Defined> {
    let first_index = member.imported;
    let last = function(store, member, first_index + count.checked_sub(1)?)?;
    let first = function(store, member, first_index)?;
    let first_handle = handle(store, &first)?;
    let is_run = handle(store, &last)?.checked_sub(first_handle)? == count - 1;
    is_run.then_some(Defined {
        first_handle,
        count,
        place,
        first_index,
    })
}

/// The function `index` of a member, imports counted.
fn function(store: &StoreInner, member: &Functions, index: u32) -> Option<Func> {
    let entity = store.resolve_instance(&member.instance?);
    entity.get_func(entity.layout().func_addr(index)?)
}

/// The bits by which a reference to `function` is told from others.
fn handle(store: &StoreInner, function: &Func) -> Option<u32> {
    function.unwrap_raw(store).map(u32::from)
}
