//! Reading from a subscription's inbox.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::inbox::Reader;
use crate::message::Message;
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
        Session::edit(self.session.bind(py), |session| {
            session.finish(self.key, &self.reader);
            session
                .pop(self.key, &self.reader)
                .map(|incoming| Message::new(&incoming))
        })
    }

    /// Up to `most` messages, as many as wait.
    fn take<'py>(&self, py: Python<'py>, most: usize) -> PyResult<Bound<'py, PyList>> {
        let messages = Session::edit(self.session.bind(py), |session| {
            session.finish(self.key, &self.reader);
            let next = || session.pop(self.key, &self.reader);
            std::iter::from_fn(next).take(most).collect::<Vec<_>>()
        })?;
        let list = PyList::empty(py);
        for incoming in &messages {
            list.append(Message::new(incoming))?;
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
