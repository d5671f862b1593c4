//! Reading and writing what C points to. Nothing else in the crate dereferences a pointer from C.

use std::ffi::c_int;

/// The value behind a pointer, `None` for NULL.
///
/// # Safety
/// `p` is NULL or points to a whole, initialised `T` that nobody writes during `'a`.
pub(crate) unsafe fn get<'a, T>(p: *const T) -> Option<&'a T> {
    // SAFETY: as the caller promises.
    unsafe { p.as_ref() }
}

/// The value behind a pointer, to be changed; `None` for NULL.
///
/// # Safety
/// `p` is NULL or points to a whole, initialised `T` that nobody else uses during `'a`.
pub(crate) unsafe fn get_mut<'a, T>(p: *mut T) -> Option<&'a mut T> {
    // SAFETY: as the caller promises.
    unsafe { p.as_mut() }
}

/// `count` values. `None` when the count is negative, or NULL should hold more than none.
///
/// # Safety
/// `p` is NULL or points to `count` initialised values that nobody writes during `'a`.
pub(crate) unsafe fn slice<'a, T>(p: *const T, count: c_int) -> Option<&'a [T]> {
    let count = usize::try_from(count).ok()?;
    match (count, p.is_null()) {
        (0, _) => Some(&[]),
        (_, true) => None,
        // SAFETY: as the caller promises.
        _ => Some(unsafe { std::slice::from_raw_parts(p, count) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_negative_lengths_are_no_slices() {
        let bytes = [1u8, 2, 3];
        // SAFETY: the pointers are NULL or those of `bytes`, which lives long enough.
        unsafe {
            assert_eq!(slice(bytes.as_ptr(), 3), Some(&bytes[..]));
            assert_eq!(slice(bytes.as_ptr(), -1), None);
            assert_eq!(slice::<u8>(std::ptr::null(), 0), Some(&[][..]));
            assert_eq!(slice::<u8>(std::ptr::null(), 1), None);
        }
    }
}
