//! From recipes and locks to runtime layers.

#![forbid(unsafe_code)]
