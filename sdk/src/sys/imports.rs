//! The imports, from the table.

macro_rules! import {
    ($({ $number:literal, $name:ident, $variant:ident,
         ($($parameter:ident: $type:ty),*), $result:ty, [$($error:ident),*], $doc:literal })*) => {
        // Some are for programs beside WASI alone. What is not called is not imported.
        #[allow(dead_code)]
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
