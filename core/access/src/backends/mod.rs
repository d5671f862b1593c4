//! Back ends: others who know clients.

pub mod http;
pub mod ldap;
pub mod redis;
pub mod sql;

mod answer;
mod tls;
