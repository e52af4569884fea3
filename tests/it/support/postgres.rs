//! A PostgreSQL of our own, with a database for whoever asks: started once by each test binary, gone with it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// Serves on a socket in its directory until its standard input ends, which it does however we end.
/// What it keeps is not synced: it outlives no test.
const SERVER: &str = r#"
set -eu
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
[ -n "$bin" ] || bin=$(dirname "$(command -v postgres)")
dir=$(mktemp -d /tmp/kinora-postgres.XXXXXX)
trap '"$bin/pg_ctl" -D "$dir/data" -m immediate stop >/dev/null 2>&1 || true; rm -rf "$dir"' EXIT
"$bin/initdb" -D "$dir/data" -U kinora -A trust -E UTF8 --locale=C.UTF-8 --no-sync >/dev/null
"$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w start >/dev/null \
    -o "-k $dir -c listen_addresses= -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=500"
echo "$dir"
read -r _ || true
"#;

/// The address of a new, empty database.
pub(crate) async fn database() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let mut connection = PgConnection::connect(&url("postgres")).await.expect("a server");
    let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::query(create).execute(&mut connection).await.expect("a database");
    connection.close().await.expect("closed");
    url(&name)
}

fn url(database: &str) -> String {
    static DIRECTORY: OnceLock<String> = OnceLock::new();
    let directory = DIRECTORY.get_or_init(start);
    format!("postgres://kinora@localhost/{database}?host={directory}")
}

/// The directory of the socket.
fn start() -> String {
    // It refuses to be root.
    let mut command = match rustix::process::geteuid().is_root() {
        true => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "sh"]);
            command
        }
        false => Command::new("sh"),
    };
    command.args(["-c", SERVER]).current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut server = command.spawn().expect("a shell");
    let mut directory = String::new();
    let said = server.stdout.take().expect("a pipe");
    BufReader::new(said).read_line(&mut directory).expect("a line");
    assert!(!directory.is_empty(), "PostgreSQL does not start; `.ci/setup tests` installs it");
    // Never waited for: its standard input is open as long as we are.
    std::mem::forget(server);
    directory.trim_end().to_owned()
}
