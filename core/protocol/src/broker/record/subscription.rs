//! A subscription as a record of its own, for stores that keep it beside its session's.

use super::{RECORD_VERSION, RecordError, SubscriptionRecord, open};

impl SubscriptionRecord {
    /// Appends the record.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(RECORD_VERSION);
        self.encode(out);
    }

    /// Reads the record. Fields that this version does not know are left out.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn read(bytes: &[u8]) -> Result<Self, RecordError> {
        Self::decode(open(bytes)?)
    }
}
