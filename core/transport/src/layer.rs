//! Layers that others make.

use std::any::Any;
use std::fmt;
use std::io::{self, IoSlice};

use crate::stream::Stream;

/// A layer of the driver's own above another stream. The rules are those of [`Stream`]: what it gives
/// and takes, and what the poller tells of, are the same as without it.
pub trait Layer: Any + Send + Sync + fmt::Debug {
    /// As [`Stream::read`].
    ///
    /// # Errors
    /// As there.
    fn read(&mut self, below: &mut Stream, target: &mut [u8]) -> io::Result<usize>;

    /// As [`Stream::is_drained`].
    fn is_drained(&self, below: &Stream, read: usize, asked: usize) -> bool;

    /// As [`Stream::write_vectored`].
    ///
    /// # Errors
    /// As there.
    fn write_vectored(&mut self, below: &mut Stream, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// As [`Stream::flush`]; that of the stream below is the layer's to call.
    ///
    /// # Errors
    /// As there.
    fn flush(&mut self, below: &mut Stream) -> io::Result<()>;

    /// As [`Stream::shutdown_write`]; that of the stream below is the layer's to call.
    ///
    /// # Errors
    /// As there.
    fn shutdown_write(&mut self, below: &mut Stream) -> io::Result<()>;
}

/// A stream with somebody's [`Layer`] above it.
#[derive(Debug)]
pub struct Layered {
    pub(crate) below: Stream,
    pub(crate) layer: Box<dyn Layer>,
}

impl Layered {
    pub(crate) fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        self.layer.read(&mut self.below, target)
    }

    pub(crate) fn is_drained(&self, read: usize, asked: usize) -> bool {
        self.layer.is_drained(&self.below, read, asked)
    }

    pub(crate) fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.layer.write_vectored(&mut self.below, slices)
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.layer.flush(&mut self.below)
    }

    pub(crate) fn shutdown_write(&mut self) -> io::Result<()> {
        self.layer.shutdown_write(&mut self.below)
    }
}

impl Stream {
    /// Puts a layer above this stream.
    #[must_use]
    pub fn layered(self, layer: impl Layer) -> Self {
        let layer = Box::new(layer);
        Self::Layered(Box::new(Layered { below: self, layer }))
    }

    /// The uppermost layer, if it is one of these.
    pub fn layer<L: Layer>(&self) -> Option<&L> {
        let Self::Layered(layered) = self else {
            return None;
        };
        let layer: &dyn Any = &*layered.layer;
        layer.downcast_ref()
    }

    /// The same to be changed.
    pub fn layer_mut<L: Layer>(&mut self) -> Option<&mut L> {
        let Self::Layered(layered) = self else {
            return None;
        };
        let layer: &mut dyn Any = &mut *layered.layer;
        layer.downcast_mut()
    }

    /// Ends the connection below all layers, without a word of theirs. What has been written to the
    /// socket still arrives; what layers hold back does not.
    pub fn cut(&mut self) {
        match self.below_mut() {
            Some(below) => below.cut(),
            // It may have failed already.
            None => drop(self.shutdown_write()),
        }
    }
}
