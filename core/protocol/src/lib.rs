//! TernMQ.
#![forbid(unsafe_code)]
