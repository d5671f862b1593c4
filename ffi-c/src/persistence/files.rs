//! Records as files of a folder: `<context>/<client>-<server>/<key>.msg`.

use std::borrow::Cow;
use std::ffi::{CStr, CString, OsStr};
use std::fs::{self, DirBuilder, File};
use std::io::{self, IoSlice, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::{Failed, Opening, Records};
use crate::types::persistence::MQTTCLIENT_PERSISTENCE_ERROR;

const EXTENSION: &[u8] = b".msg";
/// Of folders that are made. The process's umask takes away from it.
const MODE: u32 = 0o740;

pub(super) struct Files {
    folder: PathBuf,
}

impl Files {
    /// Makes the folder of a client in `context`, the working directory if there is none.
    pub(super) fn open(context: Option<&[u8]>, opening: &Opening<'_>) -> Result<Self, Failed> {
        if opening.client_id.is_empty() {
            return Err(MQTTCLIENT_PERSISTENCE_ERROR);
        }
        let server = opening.server.to_bytes().iter();
        let server: Vec<u8> = server
            .map(|byte| if *byte == b':' { b'-' } else { *byte })
            .collect();
        let name = [opening.client_id.to_bytes(), b"-", &server].concat();
        let path = [context.unwrap_or(b"."), b"/", &name].concat();
        let folder = PathBuf::from(OsStr::from_bytes(&path));
        DirBuilder::new()
            .recursive(true)
            .mode(MODE)
            .create(&folder)
            .map_err(failed)?;
        Ok(Self { folder })
    }

    fn path(&self, key: &CStr) -> PathBuf {
        let name = [key.to_bytes(), EXTENSION].concat();
        self.folder.join(OsStr::from_bytes(&name))
    }
}

impl Records for Files {
    fn put(&mut self, key: &CStr, parts: &[Cow<'_, [u8]>]) -> Result<(), Failed> {
        let path = self.path(key);
        write(&path, parts).map_err(|error| {
            // Half a record is none.
            let _ = fs::remove_file(&path);
            failed(error)
        })
    }

    fn get(&mut self, key: &CStr) -> Result<Vec<u8>, Failed> {
        fs::read(self.path(key)).map_err(failed)
    }

    fn remove(&mut self, key: &CStr) -> Result<(), Failed> {
        match fs::remove_file(self.path(key)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(()),
        }
    }

    /// Files of other names are not ours.
    fn keys(&mut self) -> Result<Vec<CString>, Failed> {
        let mut keys = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if !entry.file_type().is_ok_and(|kind| kind.is_file()) {
                continue;
            }
            let name = entry.file_name().into_vec();
            if let Some(key) = name.strip_suffix(EXTENSION) {
                keys.extend(CString::new(key));
            }
        }
        Ok(keys)
    }

    fn contains(&mut self, key: &CStr) -> bool {
        self.path(key).exists()
    }

    fn clear(&mut self) -> Result<(), Failed> {
        for key in self.keys()? {
            self.remove(&key)?;
        }
        Ok(())
    }

    /// The folder stays when something is left in it.
    fn close(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}

fn write(path: &Path, parts: &[Cow<'_, [u8]>]) -> io::Result<()> {
    let mut file = File::create(path)?;
    let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let mut rest = &mut slices[..];
    // Takes away what is empty, too: nothing is left when nothing is to be written.
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        match file.write_vectored(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => IoSlice::advance_slices(&mut rest, count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn failed(_: io::Error) -> Failed {
    MQTTCLIENT_PERSISTENCE_ERROR
}
