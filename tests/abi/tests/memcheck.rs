//! Programs under valgrind: memory inside the library, where the C compiler's sanitizers don't look.
#![allow(missing_docs)]

use ternmq_test_abi::memcheck::{QUICK, memcheck};

#[test]
fn memory_of_blocking_clients_is_in_order() {
    let (blocking, _) = QUICK.split_at(4);
    blocking.iter().for_each(|program| memcheck(program));
}

#[test]
fn memory_of_async_clients_is_in_order() {
    let (_, other) = QUICK.split_at(4);
    other.iter().for_each(|program| memcheck(program));
}
