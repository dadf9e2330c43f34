//! End to end, through the binary.
