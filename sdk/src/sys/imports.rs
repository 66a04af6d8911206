//! The imports, from the table.

macro_rules! import {
    ($({ $number:literal, $name:ident, $variant:ident,
         ($($parameter:ident: $type:ty),*), $result:ty, [$($error:ident),*], $doc:literal })*) => {
        #[link(wasm_import_module = "sos")]
        unsafe extern "C" {
            $(
                #[doc = $doc]
                pub fn $name($($parameter: $type),*) -> $result;
            )*
        }
    };
}

sos_abi::host_calls!(import);
