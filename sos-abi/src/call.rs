//! What derives from the table: [`CallId`] and its [`Signature`].

use crate::ErrorCode;

/// Type of a parameter or result of a host call, as WebAssembly names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    /// A 32-bit integer: a number, a handle, a pointer, a length or an error code.
    I32,
    /// A 64-bit integer: a time or an option's value.
    I64,
}

impl ValueType {
    /// The type's name in WebAssembly's text format.
    pub const fn name(self) -> &'static str {
        match self {
            ValueType::I32 => "i32",
            ValueType::I64 => "i64",
        }
    }
}

/// The type of a host call's import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    /// Types of the parameters, in order.
    pub parameters: &'static [ValueType],
    /// Type of the result, if the call has one.
    pub result: Option<ValueType>,
}

macro_rules! value_type {
    (i32) => {
        ValueType::I32
    };
    (i64) => {
        ValueType::I64
    };
}

macro_rules! result_type {
    (()) => {
        None
    };
    ($type:tt) => {
        Some(value_type!($type))
    };
}

pub(crate) use {result_type, value_type};

macro_rules! define_calls {
    ($({ $number:literal, $name:ident, $variant:ident,
         ($($parameter:ident: $type:tt),*), $result:tt, [$($error:ident),*], $doc:literal })*) => {
        /// A host call, by its number in the table.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum CallId {
            $(
                #[doc = $doc]
                $variant = $number,
            )*
        }

        impl CallId {
            /// Every call, in the order of their numbers.
            pub const ALL: &'static [CallId] = &[$(CallId::$variant),*];

            /// The name under which guests import the call from [`MODULE`](crate::MODULE).
            pub const fn name(self) -> &'static str {
                match self {
                    $(CallId::$variant => stringify!($name),)*
                }
            }

            /// The type of the import.
            pub const fn signature(self) -> Signature {
                match self {
                    $(CallId::$variant => Signature {
                        parameters: &[$(value_type!($type)),*],
                        result: result_type!($result),
                    },)*
                }
            }

            /// Names of the parameters, in order.
            pub const fn parameter_names(self) -> &'static [&'static str] {
                match self {
                    $(CallId::$variant => &[$(stringify!($parameter)),*],)*
                }
            }

            /// The errors that the call can return.
            pub const fn errors(self) -> &'static [ErrorCode] {
                match self {
                    $(CallId::$variant => &[$(ErrorCode::$error),*],)*
                }
            }

            /// One sentence that says what the call does.
            pub const fn summary(self) -> &'static str {
                match self {
                    $(CallId::$variant => $doc,)*
                }
            }
        }
    };
}

crate::host_calls!(define_calls);

impl CallId {
    /// The call's number in the table.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The call with `number`, if the table has it.
    pub fn from_number(number: u16) -> Option<CallId> {
        CallId::ALL.get(usize::from(number)).copied()
    }

    /// The call that guests import as `name`.
    pub fn from_name(name: &str) -> Option<CallId> {
        CallId::ALL.iter().copied().find(|call| call.name() == name)
    }
}
