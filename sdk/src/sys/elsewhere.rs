//! Stand-ins for the imports where there is no SOS kernel: every call fails.

use sos_abi::ErrorCode;

/// What a call gives that cannot be carried out.
trait Failure {
    fn failure() -> Self;
}

impl Failure for i32 {
    fn failure() -> i32 {
        ErrorCode::Unsupported.code()
    }
}

impl Failure for i64 {
    fn failure() -> i64 {
        0
    }
}

impl Failure for () {
    fn failure() {}
}

macro_rules! stand_in {
    ($({ $number:literal, $name:ident, $variant:ident,
         ($($parameter:ident: $type:ty),*), $result:ty, [$($error:ident),*], $doc:literal })*) => {
        $(
            #[doc = $doc]
            #[allow(clippy::missing_safety_doc)]
            pub unsafe fn $name($(_: $type),*) -> $result {
                Failure::failure()
            }
        )*
    };
}

sos_abi::host_calls!(stand_in);
