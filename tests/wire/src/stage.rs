//! What a stage is.

pub use ternmq_test_sim::Arrival;

/// How long a client waits for what must come, in milliseconds of the stage's time. Only a failing
/// script waits so long.
pub const PATIENCE_MS: u64 = 10_000;

/// A broker, and connections to it.
pub trait Stage {
    /// Opens a connection and gives its number.
    ///
    /// # Errors
    /// Nobody listens.
    fn connect(&mut self) -> Result<usize, String>;

    /// Sends bytes. An end that the broker has made already is not an error: it shows when one reads.
    ///
    /// # Errors
    /// The stage itself is broken.
    fn send(&mut self, conn: usize, bytes: &[u8]) -> Result<(), String>;

    /// Waits until something arrives, for `most_ms` at most.
    ///
    /// # Errors
    /// The stage itself is broken, or the broker has broken a rule of its own.
    fn receive(&mut self, conn: usize, most_ms: u64) -> Result<Arrival, String>;

    /// Closes a connection in both directions. What was sent gets there.
    fn cut(&mut self, conn: usize);

    /// Closes a connection, and waits until the broker has closed it, too.
    ///
    /// # Errors
    /// It does not within [`PATIENCE_MS`].
    fn cut_and_wait(&mut self, conn: usize) -> Result<(), String>;

    /// Closes the client's sending direction.
    fn stop_sending(&mut self, conn: usize);

    /// Lets time pass.
    ///
    /// # Errors
    /// The stage has no clock that could be moved, or the broker has broken a rule of its own.
    fn pass(&mut self, ms: u64) -> Result<(), String>;

    /// The broker begins to let go of its clients, as its configuration says. In memory at once, however
    /// slowly it should.
    ///
    /// # Errors
    /// The stage itself is broken.
    fn drain(&mut self) -> Result<(), String>;

    /// The broker stops and starts again with what it has kept. All connections are over.
    ///
    /// # Errors
    /// The stage has no broker with a memory, or it does not start.
    fn restart(&mut self) -> Result<(), String>;

    /// Milliseconds since it began.
    fn now_ms(&self) -> u64;
}
