//! Reading and writing what C points to. Nothing else in the crate dereferences a pointer from C.

use std::ffi::{CStr, c_char, c_int};

/// A C string that is not valid UTF-8.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadUtf8;

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

/// One member of a struct that may end after it: programs compiled with older headers allocate less
/// than the struct has here, so no reference to the whole may exist.
///
/// Unsafe to use: the pointer leads to a struct that has this member, initialised.
macro_rules! member {
    ($p:expr, $($member:ident).+) => {
        (&raw const (*$p).$($member).+).read()
    };
}
pub(crate) use member;

/// How every options struct begins.
#[repr(C)]
struct Prefix {
    struct_id: [u8; 4],
    struct_version: c_int,
}

/// The version of an options struct; `None` when its identifier is not `id` or its version is not
/// one of those known.
///
/// # Safety
/// `p` points to at least four bytes and an `int`, as every options struct begins.
pub(crate) unsafe fn struct_version<T>(p: *const T, id: &[u8; 4], newest: c_int) -> Option<c_int> {
    // SAFETY: as the caller promises; `Prefix` is aligned like the `int` in it, as every struct is
    // that begins like this.
    let prefix = unsafe { &*p.cast::<Prefix>() };
    (prefix.struct_id == *id && (0..=newest).contains(&prefix.struct_version))
        .then_some(prefix.struct_version)
}

/// Writes through a pointer, if there is one.
///
/// # Safety
/// `p` is NULL or points to memory for a `T`.
pub(crate) unsafe fn put<T>(p: *mut T, value: T) {
    if !p.is_null() {
        // SAFETY: as the caller promises.
        unsafe { p.write(value) }
    }
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

/// The bytes of a C string without its NUL, `None` for NULL.
///
/// # Safety
/// `p` is NULL or points to a string that ends with a NUL and stays unchanged during `'a`.
pub(crate) unsafe fn string<'a>(p: *const c_char) -> Option<&'a [u8]> {
    if p.is_null() {
        return None;
    }
    // SAFETY: as the caller promises.
    Some(unsafe { CStr::from_ptr(p) }.to_bytes())
}

/// A C string as text, `Ok(None)` for NULL.
///
/// # Safety
/// As [`string`].
pub(crate) unsafe fn text<'a>(p: *const c_char) -> Result<Option<&'a str>, BadUtf8> {
    // SAFETY: as the caller promises.
    unsafe { string(p) }
        .map(|bytes| std::str::from_utf8(bytes).map_err(|_| BadUtf8))
        .transpose()
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

    #[test]
    fn text_tells_null_from_bad_utf8() {
        // SAFETY: the pointers are NULL or those of string literals.
        unsafe {
            assert_eq!(text(std::ptr::null()), Ok(None));
            assert_eq!(text(c"a/b".as_ptr()), Ok(Some("a/b")));
            assert_eq!(text(c"\xff".as_ptr()), Err(BadUtf8));
        }
    }
}
