//! The internal upstream as a service: a unix socket below `data.dir`, one for each process, so that an
//! old and a new one can overlap during an upgrade.

use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use async_trait::async_trait;
use axum::Router;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;

use crate::server::{Error, system};

/// What the kernel takes as the path of a socket, less its closing zero.
const LONGEST_SOCKET_PATH: usize = 107;

/// The directory for sockets and the pid, ours alone. Sockets of processes that are gone are removed.
pub(super) fn run_dir(data_dir: &Path) -> Result<PathBuf, Error> {
    let dir = std::path::absolute(data_dir.join("run")).map_err(system("data.dir"))?;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(system("data.dir"))?;
    if socket(&dir).as_os_str().len() > LONGEST_SOCKET_PATH {
        let error = std::io::Error::new(
            std::io::ErrorKind::InvalidFilename,
            "too long for a socket: use a shorter one",
        );
        return Err(system("data.dir")(error));
    }
    for entry in std::fs::read_dir(&dir).map_err(system("data.dir"))?.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix("internal-")?.strip_suffix(".sock"));
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // Somebody else may have been quicker.
            let _ = std::fs::remove_file(entry.path());
        }
    }
    Ok(dir)
}

/// This process's socket.
pub(super) fn socket(run_dir: &Path) -> PathBuf {
    run_dir.join(format!("internal-{}.sock", std::process::id()))
}

/// Serves routes on a unix socket until the process ends: answers that drain still need it.
pub(super) struct Service {
    listener: Mutex<Option<UnixListener>>,
    routes: Router,
}

impl Service {
    /// Binds before anything runs, so that the first request finds it.
    pub(super) fn bind(path: &Path, routes: Router) -> Result<Self, Error> {
        let listener = UnixListener::bind(path).map_err(system("the internal socket"))?;
        listener.set_nonblocking(true).map_err(system("the internal socket"))?;
        Ok(Self { listener: Mutex::new(Some(listener)), routes })
    }
}

#[async_trait]
impl BackgroundService for Service {
    async fn start(&self, _: ShutdownWatch) {
        let listener = self.listener.lock().ok().and_then(|mut listener| listener.take());
        let Some(listener) = listener else { return };
        let served =
            async { axum::serve(tokio::net::UnixListener::from_std(listener)?, self.routes.clone()).await };
        if let Err(error) = served.await {
            tracing::error!(%error, "the internal upstream has stopped");
        }
    }
}
