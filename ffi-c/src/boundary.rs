//! The one door between C and Rust.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs the body of an exported function. A panic ends here and becomes `on_panic`, since unwinding
/// into C is undefined; the panic hook has reported it by then.
///
/// State that a panic could leave half changed sits behind locks that recover by taking the value as
/// it is, so asserting unwind safety is right.
pub(crate) fn guard<R>(on_panic: R, body: impl FnOnce() -> R) -> R {
    let body = || {
        #[cfg(debug_assertions)]
        injected::panic_if_asked();
        body()
    };
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(on_panic)
}

/// A panic in every exported function, for the test that none of them lets it out. Builds without debug
/// assertions have no such thing.
#[cfg(debug_assertions)]
mod injected {
    use std::sync::LazyLock;

    /// With this variable in its environment every call of a process panics.
    const VARIABLE: &str = "TERNMQ_TEST_PANIC_IN_EVERY_CALL";

    static ASKED: LazyLock<bool> = LazyLock::new(|| std::env::var_os(VARIABLE).is_some());

    pub(super) fn panic_if_asked() {
        assert!(!*ASKED, "injected by {VARIABLE}");
    }
}

#[cfg(test)]
mod tests {
    use super::guard;

    #[test]
    fn a_panic_becomes_the_error_value() {
        assert_eq!(guard(-1, || 7), 7);
        assert_eq!(guard(-1, || panic!("on purpose")), -1);
    }
}
