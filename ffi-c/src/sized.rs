//! The structs of `ternmq.h` begin with their size, so that they can grow. Programs that were compiled with
//! another version have smaller or larger ones: how these are read and filled in.
//!
//! Members are only added, behind all others and never into padding, and 0 in a new one means what was the
//! case before there was one. So the size tells which members there are.

/// No program has a struct of more bytes, whatever later versions bring.
const MOST: usize = 4096;

/// A struct that begins with its size.
///
/// # Safety
/// It is `repr(C)`, its first member is `struct_size: usize`, and zeros are a valid value of each member.
pub(crate) unsafe trait Growing: Copy {
    /// Where the last member of the first version ends.
    const FIRST: usize;
}

/// Marks structs by the last member that their first version has.
macro_rules! growing {
    ($($name:ident: $last:ident, $type:ty;)*) => { $(
        // SAFETY: see where it is defined.
        unsafe impl $crate::sized::Growing for $name {
            const FIRST: usize = std::mem::offset_of!($name, $last) + size_of::<$type>();
        }
    )* };
}
pub(crate) use growing;

/// What a program hands over, with 0 in members that its version does not have; `None` for a size of no
/// version that is known here. That of a newer program is none: what it asks for in members that are not
/// known would be passed over in silence.
///
/// # Safety
/// `p` leads to a size, and to as many bytes if that is one of a version.
pub(crate) unsafe fn read<T: Growing>(p: *const T) -> Option<T> {
    // SAFETY: as the caller promises; zeros are valid, and there is room for as many bytes as are read.
    unsafe {
        let size = size(p).filter(|size| *size <= size_of::<T>())?;
        let mut whole: T = std::mem::zeroed();
        let to = (&raw mut whole).cast::<u8>();
        to.copy_from_nonoverlapping(p.cast::<u8>(), size);
        Some(whole)
    }
}

/// How many bytes there are to be filled in; `None` for a size that no version has, whatever later ones
/// bring.
///
/// # Safety
/// `p` leads to a size.
pub(crate) unsafe fn size<T: Growing>(p: *const T) -> Option<usize> {
    // SAFETY: as the caller promises.
    let size = unsafe { p.cast::<usize>().read() };
    let is_known = (T::FIRST..=MOST).contains(&size) && size.is_multiple_of(align_of::<T>());
    is_known.then_some(size)
}

/// Fills in as much of a value as the program has room for, and zeros where it has more. The size stays
/// the program's.
///
/// # Safety
/// `to` leads to `size` bytes, as [`size`] has found.
pub(crate) unsafe fn fill<T: Growing>(to: *mut T, size: usize, value: &T) {
    let known = size_of::<T>().min(size);
    let from = (&raw const *value).cast::<u8>();
    let bytes = to.cast::<u8>();
    // SAFETY: as the caller promises; of ours there are as many as are known.
    unsafe {
        bytes.copy_from_nonoverlapping(from, known);
        bytes.add(known).write_bytes(0, size - known);
        to.cast::<usize>().write(size);
    }
}

/// The place of a struct in an array of which each takes `size` bytes.
///
/// # Safety
/// The array has more than `at` structs.
pub(crate) unsafe fn element<T: Growing>(first: *mut T, at: usize, size: usize) -> *mut T {
    // SAFETY: as the caller promises.
    unsafe { first.byte_add(at * size) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A struct as an older and as a newer program know it.
    #[repr(C)]
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Old {
        struct_size: usize,
        first: u64,
    }

    #[repr(C)]
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct New {
        struct_size: usize,
        first: u64,
        second: u64,
    }

    growing! {
        Old: first, u64;
        New: first, u64;
    }

    const OLD: usize = size_of::<Old>();
    const NEW: usize = size_of::<New>();

    fn old(first: u64) -> Old {
        Old {
            struct_size: OLD,
            first,
        }
    }

    fn new(struct_size: usize, first: u64, second: u64) -> New {
        New {
            struct_size,
            first,
            second,
        }
    }

    #[test]
    fn what_an_older_program_does_not_have_is_zero() {
        let given = old(7);
        // SAFETY: the struct has the bytes that it says.
        let read = unsafe { read((&raw const given).cast::<New>()) };
        assert_eq!(read, Some(new(OLD, 7, 0)));
    }

    #[test]
    fn what_a_newer_program_asks_for_is_not_passed_over() {
        let given = new(NEW, 7, 8);
        // SAFETY: the struct has the bytes that it says.
        unsafe {
            assert_eq!(read((&raw const given).cast::<Old>()), None);
            assert_eq!(read(&raw const given), Some(given));
        }
    }

    #[test]
    fn only_the_room_of_the_program_is_filled() {
        let mut small = [old(1), old(2)];
        let mut large = new(NEW, 1, 2);
        // SAFETY: each has the bytes that it says.
        unsafe {
            let place = small.as_mut_ptr().cast::<New>();
            assert_eq!(size(place), Some(OLD));
            fill(place, OLD, &new(NEW, 7, 8));
            fill((&raw mut large).cast::<Old>(), NEW, &old(7));
        }
        assert_eq!(small, [old(7), old(2)]);
        assert_eq!(large, new(NEW, 7, 0));
    }

    #[test]
    fn arrays_are_walked_in_the_steps_of_their_program() {
        let mut given = [old(1), old(2), old(3)];
        let first = given.as_mut_ptr().cast::<New>();
        for at in 0..3 {
            // SAFETY: the array has that many structs of that size.
            let read = unsafe { read(element(first, at, OLD)) };
            assert_eq!(read, Some(new(OLD, at as u64 + 1, 0)));
        }
    }

    #[test]
    fn sizes_of_no_version_are_refused() {
        for wrong in [0, 8, OLD - 1, OLD + 1, MOST + 8, usize::MAX] {
            let given = new(wrong, 1, 2);
            // SAFETY: the size is there, and the rest is not looked at.
            assert_eq!(unsafe { size(&raw const given) }, None, "{wrong}");
        }
    }
}
