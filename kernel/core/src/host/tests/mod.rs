//! Tests of the host calls.
