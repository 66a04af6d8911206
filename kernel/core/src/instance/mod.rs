//! Instances: lifecycle and the engine seam.
