//! The fabric as a whole: wiring, switching, bounds.
