//! Listening sockets: open before anything is started, so that a port is known (and a port that is
//! taken is an error) while there is still somebody to tell.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{FromRawFd, IntoRawFd};
use std::path::Path;
use std::sync::Mutex;

use async_trait::async_trait;
use axum::Router;
use pingora::listeners::ListenerConfig;
use pingora::listeners::tls::TlsSettings;
use pingora::protocols::l4::stream::L4BufferSettings;
use pingora::server::{Fds, ListenFds, ShutdownWatch};
use pingora::services::Service;
use pingora::services::background::BackgroundService;
use pingora::services::listening;
use socket2::{Domain, Protocol, Socket, Type};

use crate::proxy::Front;
use crate::server::{Error, local, system};

/// Connections that the kernel holds until we accept them; it caps this at its own limit.
const BACKLOG: i32 = 4096;

/// The sockets of the process that this one follows, by their addresses; none at an ordinary start.
#[derive(Default)]
pub(super) struct Inherited(HashMap<String, TcpListener>);

impl Inherited {
    /// Waits some seconds for the running process to hand its sockets over, which SIGQUIT tells it to.
    pub(super) fn receive(upgrade_socket: &Path) -> Result<Self, Error> {
        tracing::info!("ready to take the sockets over: send SIGQUIT to the running process");
        let mut fds = Fds::new();
        fds.get_from_sock(upgrade_socket.to_string_lossy().as_ref())
            .map_err(|error| system("no process has handed its sockets over")(error.into()))?;
        let (addresses, fds) = fds.serialize();
        // SAFETY: the kernel has made these descriptors for this process, and nothing else knows them.
        let listeners = fds.into_iter().map(|fd| unsafe { TcpListener::from_raw_fd(fd) });
        Ok(Self(addresses.into_iter().zip(listeners).collect()))
    }

    /// The socket of this address, with the clients that wait in it; a new one if it was not handed over.
    pub(super) fn open(&mut self, address: SocketAddr) -> Result<TcpListener, Error> {
        self.0.remove(&address.to_string()).map_or_else(|| bind(address), Ok)
    }
}

/// Binds and listens.
fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
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
}

impl Prebound {
    pub(super) fn new(service: listening::Service<Front>) -> Self {
        Self { service, sockets: Vec::new() }
    }

    /// Hands a socket on that something else listens on, should a process follow this one.
    pub(super) fn hand_on(&mut self, socket: &TcpListener) -> Result<(), Error> {
        let shared = socket.try_clone().map_err(system("a listening socket"))?;
        self.sockets.push((local(socket)?.to_string(), shared));
        Ok(())
    }

    /// Adds a socket, with TLS on it or without.
    pub(super) fn add(&mut self, socket: TcpListener, tls: Option<TlsSettings>) -> Result<(), Error> {
        let address = local(&socket)?.to_string();
        // The front reads into a buffer that all connections share, and TLS into its own.
        let buffers = L4BufferSettings::default().read(0);
        let listener = ListenerConfig::tcp(&address).l4_buffer(buffers);
        self.service.add_listener(match tls {
            Some(settings) => listener.tls(settings),
            None => listener,
        });
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
                fds.add(address, socket.into_raw_fd());
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
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let listener = self.listener.lock().ok().and_then(|mut listener| listener.take());
        let Some(listener) = listener else { return };
        let served = async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            // A process that follows this one listens on the same socket: what comes now is for it.
            let stopped = async move { drop(shutdown.wait_for(|stop| *stop).await) };
            axum::serve(listener, self.routes.clone()).with_graceful_shutdown(stopped).await
        };
        if let Err(error) = served.await {
            tracing::error!(%error, "the admin listener has stopped");
        }
    }
}
