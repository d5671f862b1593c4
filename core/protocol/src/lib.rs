//! TernMQ.
#![forbid(unsafe_code)]

pub mod topic;
pub mod utf8;
pub mod weight;

#[cfg(test)]
mod seeded;
