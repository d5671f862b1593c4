//! The exported functions. `include/` documents them; only what the boundary does not show stands
//! here.
#![allow(non_snake_case, missing_docs)]
// Each function's contract with C is in its header: pointers are NULL or valid as C programs know it.
#![allow(clippy::missing_safety_doc)]

pub mod information;
pub mod memory;
pub mod properties;
