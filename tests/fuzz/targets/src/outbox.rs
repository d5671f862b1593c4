//! The file of a client's outbox, as another process may have left it.

use std::path::PathBuf;

use ternmq_client::FileOutbox;

/// The file is these bytes. What it gives, it gives again when it is opened once more.
pub fn outbox(data: &[u8]) {
    let path = folder().join(format!("ternmq-fuzz-outbox-{}", std::process::id()));
    if std::fs::write(&path, data).is_err() {
        return;
    }
    if let Ok((outbox, stored)) = FileOutbox::open(&path) {
        assert_eq!(outbox.kept(), stored.len());
        drop(outbox);
        let (outbox, again) = FileOutbox::open(&path).expect("a file that was good");
        assert_eq!(stored.len(), again.len());
        assert_eq!(outbox.status().damage(), None, "it was mended");
    }
    let _ = std::fs::remove_file(&path);
    let _ = std::fs::remove_file(path.with_extension("damaged"));
}

/// In memory where there is such a folder: a file that was damaged is synced when it is mended, which a disk
/// takes its time for.
fn folder() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    match memory.is_dir() {
        true => memory,
        false => std::env::temp_dir(),
    }
}
