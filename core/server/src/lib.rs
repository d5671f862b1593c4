//! TernMQ.
