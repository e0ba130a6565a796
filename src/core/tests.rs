//! The machine at its own cut: inputs in, effects out.
