//! The embedded broker. It runs on threads of its own, none of which ever touches Python.

use std::net::{IpAddr, SocketAddr};

use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use ternmq_broker::{Broker, Config, ListenerConfig, PublishError, StartError};
use ternmq_protocol::Message as Shared;
use ternmq_protocol::codec::PropertiesBuf;

use crate::bytes::Payload;
use crate::clock;
use crate::errors;
use crate::gil;
use crate::message::qos_of;

/// A broker that runs until `stop` or until the object is gone.
#[pyclass(frozen, module = "ternmq._ternmq")]
pub(crate) struct RunningBroker {
    broker: std::sync::Mutex<Option<Broker>>,
    host: IpAddr,
    port: u16,
    process: u32,
}

#[pymethods]
impl RunningBroker {
    /// Listens when it returns.
    #[new]
    fn start(
        py: Python<'_>,
        host: &str,
        port: u16,
        anonymous: bool,
        shards: usize,
    ) -> PyResult<Self> {
        let host: IpAddr = host.parse().map_err(|_| {
            PyValueError::new_err(format!("host must be an IP address, not {host:?}"))
        })?;
        let listeners = vec![ListenerConfig {
            anonymous,
            ..ListenerConfig::anonymous(SocketAddr::new(host, port))
        }];
        let config = Config {
            listeners,
            shards,
            ..Config::default()
        };
        let broker = gil::released(py, || Broker::start(config)).map_err(start_error)?;
        let port = broker.local_addrs()[0].port();
        let process = std::process::id();
        Ok(Self {
            broker: Some(broker).into(),
            host,
            port,
            process,
        })
    }

    /// The port it listens on.
    #[getter]
    fn port(&self) -> u16 {
        self.port
    }

    /// Its address as a URL for clients of this machine.
    #[getter]
    fn url(&self) -> String {
        let host = match (self.host.is_unspecified(), self.host) {
            (false, host) => host,
            (true, IpAddr::V4(_)) => IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
            (true, IpAddr::V6(_)) => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
        };
        format!("mqtt://{}", SocketAddr::new(host, self.port))
    }

    /// Publishes without a client.
    fn publish(
        &self,
        py: Python<'_>,
        topic: &str,
        payload: Payload<'_>,
        qos: u8,
        retain: bool,
    ) -> PyResult<()> {
        let (none, now) = (PropertiesBuf::default(), clock::now());
        let message = Shared::new(
            topic,
            payload.as_slice(),
            qos_of(qos)?,
            retain,
            none.get(),
            now,
        )
        .map_err(|error| PyValueError::new_err(error.to_string()))?;
        match self.with(py, |broker| broker.publish(&message))? {
            Ok(()) => Ok(()),
            Err(error @ PublishError::Full) => Err(errors::raise(py, "QueueFullError", error)),
            Err(error @ PublishError::Stopped) => Err(PyRuntimeError::new_err(error.to_string())),
        }
    }

    /// Stops it and waits until every thread has ended and every descriptor is closed; nothing when
    /// it was stopped before.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        self.check_process(py)?;
        let stopped = gil::released(py, || self.take().map(Broker::stop));
        match stopped {
            Some(Err(failure)) => Err(PyRuntimeError::new_err(failure.to_string())),
            _ => Ok(()),
        }
    }
}

impl RunningBroker {
    fn with<R: Send>(&self, py: Python<'_>, work: impl FnOnce(&Broker) -> R + Send) -> PyResult<R> {
        self.check_process(py)?;
        let result = gil::released(py, || self.lock().as_ref().map(work));
        result.ok_or_else(|| PyRuntimeError::new_err("the broker is not running"))
    }

    fn check_process(&self, py: Python<'_>) -> PyResult<()> {
        let text = "the broker runs in the process that forked";
        errors::check_process(py, self.process, text)
    }

    fn take(&self) -> Option<Broker> {
        self.lock().take()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Broker>> {
        self.broker
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for RunningBroker {
    fn drop(&mut self) {
        let broker = self.take();
        if self.process == std::process::id() {
            Python::attach(|py| gil::released(py, || drop(broker)));
        } else {
            std::mem::forget(broker);
        }
    }
}

fn start_error(error: StartError) -> PyErr {
    match &error {
        StartError::Config(_)
        | StartError::Users(_)
        | StartError::Ban(..)
        | StartError::Tls(..) => PyValueError::new_err(error.to_string()),
        StartError::Listen(_, cause) | StartError::System(cause) => match cause.raw_os_error() {
            // With the number Python makes it the right subclass, such as PermissionError.
            Some(number) => PyOSError::new_err((number, error.to_string())),
            None => PyOSError::new_err(error.to_string()),
        },
        StartError::Store(_) => PyOSError::new_err(error.to_string()),
    }
}
