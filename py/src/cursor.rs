//! Reading from a subscription's inbox.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyList;
use ternmq_protocol::client::Incoming;

use crate::argument;
use crate::inbox::Reader;
use crate::message::{Message, Recipient};
use crate::routes::Key;
use crate::session::Session;

/// One reader of a subscription. Asking for the next message acknowledges those it has got.
#[pyclass(frozen, module = "ternmq._ternmq")]
pub(crate) struct Cursor {
    session: Py<Session>,
    key: Key,
    reader: Reader,
}

#[pymethods]
impl Cursor {
    /// A new reader; what readers that are gone by now have got is acknowledged.
    #[new]
    fn new(session: Bound<'_, Session>, key: Key) -> PyResult<Self> {
        Session::edit(&session, |s| s.finish_gone(key))?;
        Ok(Self {
            session: session.unbind(),
            key,
            reader: Arc::default(),
        })
    }

    /// The next message, None when none waits.
    fn pop(&self, py: Python<'_>) -> PyResult<Option<Message>> {
        let popped = Session::edit(self.session.bind(py), |session| {
            session.finish(self.key, &self.reader);
            let incoming = session.pop(self.key, &self.reader)?;
            Some((incoming, session.is_manual(self.key)))
        })?;
        Ok(popped.map(|(incoming, manual)| self.message(py, &incoming, manual)))
    }

    /// Up to `most` messages, as many as wait.
    fn take<'py>(
        &self,
        py: Python<'py>,
        #[pyo3(from_py_with = argument::most)] most: usize,
    ) -> PyResult<Bound<'py, PyList>> {
        let (messages, manual) = Session::edit(self.session.bind(py), |session| {
            session.finish(self.key, &self.reader);
            let next = || session.pop(self.key, &self.reader);
            let messages = std::iter::from_fn(next).take(most).collect::<Vec<_>>();
            (messages, session.is_manual(self.key))
        })?;
        let list = PyList::empty(py);
        for incoming in &messages {
            list.append(self.message(py, incoming, manual))?;
        }
        Ok(list)
    }

    /// Acknowledges what it has got.
    fn finish(&self, py: Python<'_>) -> PyResult<()> {
        Session::edit(self.session.bind(py), |session| {
            session.finish(self.key, &self.reader)
        })
    }
}

impl Cursor {
    fn message(&self, py: Python<'_>, incoming: &Incoming, manual: bool) -> Message {
        match manual {
            false => Message::new(incoming),
            true => {
                let session = self.session.clone_ref(py);
                Message::manual(incoming, Recipient::Session(session, self.key))
            }
        }
    }
}
