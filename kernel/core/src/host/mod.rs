//! Host calls: what a guest may ask of the kernel.
