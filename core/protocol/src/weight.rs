//! What a queued or retained thing weighs against the byte limits.

/// The memory a thing stands for in a limit given in bytes.
///
/// The weight of one value must not change while a queue or store holds it: it is added when the
/// value enters and asked for again when it leaves.
pub trait Weight {
    /// Bytes this value counts as, usually topic and payload with the overhead of holding them.
    fn weight(&self) -> usize;
}

impl<W: Weight + ?Sized> Weight for triomphe::Arc<W> {
    fn weight(&self) -> usize {
        (**self).weight()
    }
}
