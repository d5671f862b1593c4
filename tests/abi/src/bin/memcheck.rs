//! Runs the programs of these tests under valgrind, all or those that are named, and says how long each took. The
//! first that is not in order ends it.
#![forbid(unsafe_code)]

use std::time::Instant;

use ternmq_test_abi::memcheck::{QUICK, THOROUGH, memcheck};

fn main() {
    let named: Vec<String> = std::env::args().skip(1).collect();
    let all = || QUICK.iter().chain(&THOROUGH).map(|name| (*name).to_owned());
    let programs = if named.is_empty() {
        all().collect()
    } else {
        named
    };
    for program in programs {
        let begin = Instant::now();
        memcheck(&program);
        println!("{program}: in order, {} s", begin.elapsed().as_secs());
    }
}
