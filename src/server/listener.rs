//! Listening sockets: bound before anything is started, so that a port is known (and a port that is
//! taken is an error) while there is still somebody to tell.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::sync::Mutex;

use async_trait::async_trait;
use axum::Router;
use pingora::listeners::tls::TlsSettings;
use pingora::server::{ListenFds, ShutdownWatch};
use pingora::services::Service;
use pingora::services::background::BackgroundService;
use pingora::services::listening;
use socket2::{Domain, Protocol, Socket, Type};

use crate::proxy::Front;
use crate::server::{Error, local, system};

/// Connections that the kernel holds until we accept them; it caps this at its own limit.
const BACKLOG: i32 = 4096;

/// Binds and listens.
pub(super) fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    let bound = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(TcpListener::from(socket))
    };
    bound().map_err(system(format!("listening on {address}")))
}

/// The edge on sockets that are open already.
pub(super) struct Prebound {
    service: listening::Service<Front>,
    sockets: Vec<(String, TcpListener)>,
    upgrade: bool,
}

impl Prebound {
    pub(super) fn new(service: listening::Service<Front>, upgrade: bool) -> Self {
        Self { service, sockets: Vec::new(), upgrade }
    }

    /// Adds a socket, with TLS on it or without.
    pub(super) fn add(&mut self, socket: TcpListener, tls: Option<TlsSettings>) -> Result<(), Error> {
        let address = local(&socket)?.to_string();
        match tls {
            Some(settings) => self.service.add_tls_with_settings(&address, None, settings),
            None => self.service.add_tcp(&address),
        }
        self.sockets.push((address, socket));
        Ok(())
    }
}

#[async_trait]
impl Service for Prebound {
    async fn start_service(
        &mut self,
        fds: Option<ListenFds>,
        shutdown: ShutdownWatch,
        listeners_per_fd: usize,
    ) {
        if let Some(fds) = &fds {
            let mut fds = fds.lock();
            for (address, socket) in self.sockets.drain(..) {
                // What the old process handed over has its clients waiting in it.
                if !self.upgrade || fds.get(&address).is_none() {
                    fds.add(address, socket.into_raw_fd());
                }
            }
        }
        self.service.start_service(fds, shutdown, listeners_per_fd).await;
    }

    fn name(&self) -> &str {
        self.service.name()
    }
}

/// Routes on a socket of their own.
pub(super) struct Http {
    listener: Mutex<Option<TcpListener>>,
    routes: Router,
}

impl Http {
    pub(super) fn new(listener: TcpListener, routes: Router) -> Self {
        Self { listener: Mutex::new(Some(listener)), routes }
    }
}

#[async_trait]
impl BackgroundService for Http {
    async fn start(&self, _: ShutdownWatch) {
        let listener = self.listener.lock().ok().and_then(|mut listener| listener.take());
        let Some(listener) = listener else { return };
        let served =
            async { axum::serve(tokio::net::TcpListener::from_std(listener)?, self.routes.clone()).await };
        if let Err(error) = served.await {
            tracing::error!(%error, "the admin listener has stopped");
        }
    }
}
