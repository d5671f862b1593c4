//! Back ends: others who know clients.

pub mod http;

mod answer;
