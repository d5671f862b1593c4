//! TLS between the options of a connect and its end: what stays from one connect to the next, and who
//! is told of errors.

use std::ffi::{CString, c_char, c_int, c_void};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use ternmq_client::tls::{Identity, PemSource, Roots, TlsClient, TlsError, TlsOptions, Verify};
use ternmq_client::{ConnectError, TransportError};

use crate::callback::Callback;

/// The function `ssl_error_cb` of the application.
pub(crate) type Listener =
    Callback<unsafe extern "C" fn(*const c_char, libc::size_t, *mut c_void) -> c_int>;

/// What a connect asks of TLS.
pub(crate) struct TlsRequest {
    /// Files are read by now. What is wrong with them is no wrong call but a connection that fails.
    pub(crate) options: Result<TlsOptions, TlsError>,
    pub(crate) listener: Option<Listener>,
}

/// The newest TLS of a client. Who connects again with the same options and the same contents of files
/// goes on with the server's tickets.
#[derive(Default)]
pub(crate) struct LastTls {
    given: Mutex<Given>,
    last: Mutex<Option<(TlsOptions, TlsClient)>>,
}

/// What `ternmq_set_tls` has given from memory, in the place of what the options of a connect say.
#[derive(Clone, Default)]
pub(crate) struct Given {
    pub(crate) roots: Option<Vec<u8>>,
    pub(crate) identity: Option<Identity>,
    pub(crate) server_name: Option<String>,
    pub(crate) revoked: Option<Vec<u8>>,
    pub(crate) key_log: Option<PathBuf>,
}

impl Given {
    /// Looks whether TLS can be spoken with it.
    ///
    /// # Errors
    /// What is missing or does not fit.
    pub(crate) fn check(&self) -> Result<(), TlsError> {
        let mut options = TlsOptions {
            verify: match self.roots {
                Some(_) => Verify::Chain,
                None => Verify::Nothing,
            },
            ..TlsOptions::default()
        };
        self.complete(&mut options);
        if self.roots.is_none() {
            // Whose lists they are nobody knows before a connect says whom it trusts.
            options.revoked.clear();
        }
        options.build().map(drop)
    }

    fn complete(&self, options: &mut TlsOptions) {
        if let Some(roots) = &self.roots {
            options.roots = vec![Roots::Pem(roots.clone())];
        }
        if self.identity.is_some() {
            options.identity.clone_from(&self.identity);
        }
        let revoked = self.revoked.iter().cloned().map(PemSource::Bytes);
        options.revoked.extend(revoked);
        if self.key_log.is_some() {
            options.key_log.clone_from(&self.key_log);
        }
        if self.server_name.is_some() {
            options.server_name.clone_from(&self.server_name);
        }
    }
}

impl LastTls {
    /// Sets what comes from memory, from the next connect on.
    pub(crate) fn give(&self, given: Given) {
        *self.given.lock().unwrap_or_else(PoisonError::into_inner) = given;
    }

    /// TLS as these options say, and what was given.
    ///
    /// # Errors
    /// What is missing or does not fit.
    pub(crate) fn client(&self, mut options: TlsOptions) -> Result<TlsClient, TlsError> {
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.complete(&mut options);
        drop(given);
        // What is in a folder is not known before it was read.
        let folder = |root: &Roots| matches!(root, Roots::Folder(_));
        if options.roots.iter().any(folder) {
            return options.build();
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, client)) = &*last
            && *known == options
        {
            return Ok(client.clone());
        }
        let client = options.build()?;
        *last = Some((options, client.clone()));
        Ok(client)
    }
}

/// Tells the application why a connection has failed, if TLS is the reason. As from OpenSSL the text is
/// a line with its end.
pub(crate) fn tell(listener: Option<Listener>, error: &ConnectError) {
    let (Some(Callback { function, context }), ConnectError::Transport(error)) = (listener, error)
    else {
        return;
    };
    if let TransportError::Tls(error) = error {
        let line = CString::new(format!("{error}\n")).unwrap_or_default();
        // SAFETY: the application gave the function for this; the text is valid during the call.
        unsafe { function(line.as_ptr(), line.as_bytes().len(), context) };
    }
}
