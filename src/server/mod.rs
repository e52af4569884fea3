//! The composition root: settings become components, components become Pingora services.
//!
//! Everything that lives as long as the process is made here and handed down; nothing below reads the
//! settings again.

mod background;
mod caches;
mod catalog;
mod drain;
mod first_start;
mod listener;

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pingora::apps::HttpServerOptions;
use pingora::listeners::tls::TlsSettings;
use pingora::protocols::http::v2::server::default_h2_options;
use pingora::server::Server;
use pingora::server::configuration::{Opt, ServerConf};
use pingora::services::background::background_service;
use pingora::services::listening;

use crate::api::{Admin, Control, Limits, Public, admin_routes};
use crate::cache::{Assets, FillBudget, Flights, Policy, Purger, Store};
use crate::config::Config;
use crate::job;
use crate::metadata;
use crate::metadata::Catalog;
use crate::origin;
use crate::origin::{Bucket, Origin};
use crate::proxy::{Cors, Edge, Front, FrontLimits, Slices};
use crate::render::Renderer;
use crate::signature;
use crate::telemetry::{Metrics, start_log};
use crate::upload::Uploads;
use crate::webhook;
use crate::webhook::Caller;

pub use first_start::{Error as FirstStartError, SAMPLES, Welcome, first_start};

use background::{Background, Work};
use listener::{Inherited, Prebound};

/// Origins that give no parts are few, and may learn it.
const WHOLE_ONLY: u64 = 10_000;
const WHOLE_ONLY_FOR: Duration = Duration::from_secs(600);

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file, a directory, an address or a thread.
    #[error("{what}: {error}")]
    System {
        /// What was tried.
        what: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// The catalogue of keys.
    #[error("{0}")]
    Catalog(#[from] metadata::Error),
    /// The origin.
    #[error("{0}")]
    Origin(#[from] origin::OpenError),
    /// The certificate or its key.
    #[error("server.tls: {0}")]
    Tls(String),
    /// The metrics.
    #[error("{0}")]
    Metrics(#[from] prometheus::Error),
    /// The client that calls webhooks.
    #[error("no HTTP client: {0}")]
    Client(#[from] reqwest::Error),
    /// The first start.
    #[error("{0}")]
    FirstStart(#[from] FirstStartError),
}

/// Starts everything and runs until a signal says to stop.
///
/// `upgrade` takes the listening sockets over from a running process (Pingora's zero-downtime
/// upgrade: start the new one with it, then send SIGQUIT to the old one).
///
/// # Errors
/// [`Error`], before anything is listening.
pub fn run(config: &Config, upgrade: bool) -> Result<(), Error> {
    start_log(&config.log);
    config.data.prepare().map_err(system("data.dir"))?;
    let run_dir = run_dir(&config.data.dir)?;
    let (known, welcome) = catalog::prepare(config)?;
    let parts = Parts::new(config, known)?;
    let upgrade_socket = run_dir.join("upgrade.sock");
    let mut inherited = if upgrade { Inherited::receive(&upgrade_socket)? } else { Inherited::default() };
    let public = inherited.open(config.server.listen)?;
    let tls = config.server.tls.is_on().then(|| inherited.open(config.server.tls.listen)).transpose()?;
    let admin = inherited.open(config.admin.listen)?;
    drop(inherited);
    announce(&public, tls.as_ref(), &admin)?;
    if let Some(welcome) = welcome {
        say(&welcome.text(&reachable(local(&public)?), unix_now())?)
            .map_err(system("showing the first keys"))?;
    }

    let mut server =
        Server::new_with_opt_and_conf(Opt::default(), server_conf(config, &run_dir, &upgrade_socket));
    server.bootstrap();
    parts.add_services(config, &mut server, Sockets { public, tls, admin })?;
    server.run_forever()
}

/// What the services share.
struct Parts {
    origin: Arc<dyn Origin>,
    renderer: Arc<Renderer>,
    store: Arc<Store>,
    originals: Arc<Store>,
    flights: Arc<Flights>,
    fills: FillBudget,
    known: catalog::Known,
    purger: Purger,
    webhooks: Caller,
    bucket: Option<Arc<dyn Bucket>>,
    assets: Assets,
    uploads: Uploads,
    metrics: Arc<Metrics>,
}

struct Sockets {
    public: TcpListener,
    tls: Option<TcpListener>,
    admin: TcpListener,
}

impl Parts {
    fn new(config: &Config, known: catalog::Known) -> Result<Self, Error> {
        let metrics = Arc::new(Metrics::new()?);
        let origin = origin::counted(origin::open(&config.origin, &config.data.dir)?, Arc::clone(&metrics));
        let fills = FillBudget::new(config.cache.fills.as_u64());
        let purger = Purger {
            catalog: Catalog::reopen(&config.catalog, &config.data.dir)?,
            generations: Arc::clone(&known.generations),
        };
        let originals = Arc::new(caches::originals(config));
        let source = caches::behind_originals(config, &origin, &originals, &purger, &fills, &metrics);
        let renderer =
            Renderer::new(source, &config.render, &config.image).map_err(system("render threads"))?;
        let renderer = Arc::new(renderer);
        let bucket = origin::open_bucket(&config.origin, &config.data.dir)?;
        let uploads = Uploads {
            bucket: bucket.clone(),
            origin: Arc::clone(&origin),
            renderer: Arc::clone(&renderer),
            catalog: purger.catalog.clone(),
            config: Arc::new(config.upload.clone()),
        };
        Ok(Self {
            origin,
            renderer,
            store: Arc::new(caches::answers(config)),
            originals,
            flights: Arc::default(),
            fills,
            known,
            bucket,
            assets: Assets::new(purger.catalog.clone()),
            purger,
            uploads,
            webhooks: Caller::new(&config.webhooks)?,
            metrics,
        })
    }

    fn add_services(self, config: &Config, server: &mut Server, sockets: Sockets) -> Result<(), Error> {
        let admin = Admin {
            metrics: Arc::clone(&self.metrics),
            store: Arc::clone(&self.store),
            originals: Arc::clone(&self.originals),
            flights: Arc::clone(&self.flights),
            renderer: Arc::clone(&self.renderer),
            origin: Arc::clone(&self.origin),
            stuck_after: config.render.deadline * 2,
        };
        let busy = Arc::new(AtomicUsize::new(0));
        for (name, work) in self.background(config)? {
            server.add_service(background_service(name, Background::new(work, &busy)));
        }
        let watch = catalog::Watch::new(config, self.known.clone(), self.assets.clone());
        server.add_service(background_service("catalog", watch));

        let stores = vec![Arc::clone(&self.store), Arc::clone(&self.originals)];
        let front = self.front(config);
        let connections = Arc::clone(&front.connections);
        let mut prebound = Prebound::new(listening::Service::new("edge".to_owned(), front));
        prebound.hand_on(&sockets.admin)?;
        prebound.add(sockets.public, None)?;
        if let Some(tls) = sockets.tls {
            prebound.add(tls, Some(tls_settings(config)?))?;
        }
        server.add_service(prebound);
        let admin = listener::Http::new(sockets.admin, admin_routes(admin));
        server.add_service(background_service("admin", admin));
        server.add_service(background_service("drain", drain::Drain { connections, busy, stores }));
        Ok(())
    }

    fn front(self, config: &Config) -> Front {
        let limits = FrontLimits {
            max_connections: config.server.max_connections,
            max_head_bytes: usize::try_from(config.server.max_request_head.as_u64()).unwrap_or(usize::MAX),
            head_timeout: config.server.request_head_timeout,
            idle_timeout: config.server.keepalive_timeout,
            requests_per_connection: Some(config.server.keepalive_requests).filter(|&requests| requests > 0),
        };
        let metrics = Arc::clone(&self.metrics);
        let edge = Arc::new(self.edge(config, &limits));
        Front { edge, limits, metrics, connections: Arc::new(AtomicUsize::new(0)) }
    }

    fn background(&self, config: &Config) -> Result<[(&'static str, Work); 2], Error> {
        let catalog = || self.purger.catalog.clone();
        let works: Vec<Arc<dyn job::Work>> = vec![
            Arc::new(job::Import::new(&config.imports, catalog(), self.uploads.clone())?),
            Arc::new(job::UploadSweep { uploads: self.uploads.clone() }),
            Arc::new(job::Sweep {
                catalog: catalog(),
                keep_events: config.webhooks.keep,
                keep_jobs: config.jobs.keep,
            }),
        ];
        let runner = job::Runner::new(catalog(), works, config.jobs.concurrency, Arc::clone(&self.metrics));
        let sender = webhook::Sender::new(&config.webhooks, catalog(), Arc::clone(&self.metrics))?;
        Ok([("webhooks", Work::Sending(sender)), ("jobs", Work::Jobs(runner))])
    }

    fn public(&self, config: &Config) -> Public {
        Public {
            keys: Arc::clone(&self.known.ring),
            catalog: self.purger.catalog.clone(),
            purger: self.purger.clone(),
            max_data_bytes: usize::try_from(config.metadata.max_data_bytes.as_u64()).unwrap_or(usize::MAX),
            webhooks: self.webhooks.clone(),
            assets: self.assets.clone(),
            rules: config.rules(),
            bucket: self.bucket.clone(),
            public_url: config.server.public_url.clone(),
            uploads: self.uploads.clone(),
            imports: config.imports.guard(),
            limits: Arc::new(Limits::new(&config.limits)),
        }
    }

    fn edge(self, config: &Config, limits: &FrontLimits) -> Edge {
        let control = Control::new(self.public(config));
        let mut server_options = HttpServerOptions::default();
        server_options.h2c = true;
        server_options.keepalive_request_limit = limits.requests_per_connection;
        server_options.h2_idle_timeout = Some(limits.idle_timeout);
        let mut h2_options = default_h2_options();
        h2_options.max_concurrent_streams(config.server.h2_max_streams);
        h2_options.max_header_list_size(u32::try_from(limits.max_head_bytes).unwrap_or(u32::MAX));
        Edge {
            rules: config.rules(),
            keys: Arc::clone(&self.known.ring),
            policy: signature::Policy { required: config.delivery.require_signature },
            assets: self.assets,
            assets_are_public: config.delivery.public_by_default,
            freshness: Policy {
                max_age: config.delivery.max_age,
                s_maxage: config.delivery.s_maxage,
                stale_while_revalidate: config.delivery.stale_while_revalidate,
                stale_if_error: config.delivery.stale_if_error,
                negative_ttl: config.cache.negative_ttl,
            },
            store: self.store,
            generations: Arc::clone(&self.known.generations),
            control,
            purger: self.purger,
            purge: config.purge.clone(),
            flights: self.flights,
            slices: Slices { bytes: config.cache.slice.as_u64(), above: config.cache.slice_above.as_u64() },
            whole_only: moka::sync::Cache::builder()
                .max_capacity(WHOLE_ONLY)
                .time_to_live(WHOLE_ONLY_FOR)
                .build(),
            fills: self.fills,
            max_object_bytes: config.cache.max_object.as_u64(),
            origin: self.origin,
            renderer: self.renderer,
            client: config.server.clone(),
            cors: Cors::new(&config.delivery.cors_origins),
            metrics: self.metrics,
            h2_options,
            server_options,
        }
    }
}

fn server_conf(config: &Config, run_dir: &Path, upgrade_socket: &Path) -> ServerConf {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    ServerConf {
        threads: if config.server.threads == 0 { cores } else { config.server.threads },
        // One runtime for each thread: about 6 % less work for a hit, and no hit waits for another's.
        work_stealing: false,
        pid_file: run_dir.join("kinora.pid").to_string_lossy().into_owned(),
        upgrade_sock: upgrade_socket.to_string_lossy().into_owned(),
        // The drain service ends the process as soon as the last answer is out.
        grace_period_seconds: Some(config.server.shutdown_grace.as_secs()),
        graceful_shutdown_timeout_seconds: Some(1),
        max_blocking_threads: Some(16),
        ..ServerConf::default()
    }
}

/// The directory for the pid and the socket of an upgrade, ours alone.
fn run_dir(data_dir: &Path) -> Result<PathBuf, Error> {
    let dir = std::path::absolute(data_dir.join("run")).map_err(system("data.dir"))?;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(system("data.dir"))?;
    Ok(dir)
}

fn tls_settings(config: &Config) -> Result<TlsSettings, Error> {
    let tls = &config.server.tls;
    let (certificate, key) = (tls.certificate.to_string_lossy(), tls.private_key.to_string_lossy());
    let mut settings =
        TlsSettings::intermediate(&certificate, &key).map_err(|error| Error::Tls(error.to_string()))?;
    settings.enable_h2();
    Ok(settings)
}

/// Tells whoever started us where we are: with port 0 nobody else knows.
fn announce(public: &TcpListener, tls: Option<&TcpListener>, admin: &TcpListener) -> Result<(), Error> {
    // Whoever started us may have stopped reading; that is no reason not to serve.
    let tell =
        |text: String| say(&text).unwrap_or_else(|error| tracing::warn!(%error, text, "nobody reads this"));
    tell(format!("listening on http://{}", local(public)?));
    if let Some(tls) = tls {
        tell(format!("listening on https://{}", local(tls)?));
    }
    tell(format!("admin listening on http://{}", local(admin)?));
    Ok(())
}

/// The URL of an address for a client on this machine.
pub fn reachable(mut address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    format!("http://{address}")
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

fn local(listener: &TcpListener) -> Result<SocketAddr, Error> {
    listener.local_addr().map_err(system("server.listen"))
}

fn say(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{text}").and_then(|()| out.flush())
}

/// Adds what was tried to what the system says.
fn system(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
    move |error| Error::System { what: what.into(), error }
}
