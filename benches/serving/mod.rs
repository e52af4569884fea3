//! A running server and its clients, for every benchmark that needs them.

#![allow(dead_code, reason = "each benchmark uses a part of it")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// One keep-alive connection of HTTP/1.1.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    body: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).expect("an option");
        Self { stream: BufReader::with_capacity(16 << 10, stream), body: Vec::new() }
    }

    pub(crate) fn ask(&mut self, request: &str) -> Duration {
        let began = Instant::now();
        self.send(request);
        self.receive();
        began.elapsed()
    }

    pub(crate) fn send(&mut self, request: &str) {
        self.stream.get_mut().write_all(request.as_bytes()).expect("sent");
    }

    /// Reads an answer and drops it; it has to be a good one.
    pub(crate) fn receive(&mut self) {
        let head = self.read_head();
        assert!((200..400).contains(&head.status), "{}", head.lines);
        let length = if head.status == 304 { 0 } else { head.length() };
        self.body.resize(length, 0);
        self.stream.read_exact(&mut self.body).expect("a body");
    }

    /// Sends a request in pieces, its head first, and returns the head and the body of the answer.
    pub(crate) fn exchange<'a>(&mut self, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Head, String) {
        for piece in pieces {
            self.stream.get_mut().write_all(piece).expect("sent");
        }
        let head = self.read_head();
        let mut body = vec![0; head.length()];
        self.stream.read_exact(&mut body).expect("a body");
        if head.header("transfer-encoding").is_some() && head.status != 204 {
            self.read_chunks(&mut body);
        }
        (head, String::from_utf8(body).expect("text"))
    }

    fn read_chunks(&mut self, body: &mut Vec<u8>) {
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).expect("a length");
            let length = usize::from_str_radix(line.trim(), 16).expect("a length");
            let mut chunk = vec![0; length + 2];
            self.stream.read_exact(&mut chunk).expect("a chunk");
            body.extend_from_slice(&chunk[..length]);
            if length == 0 {
                return;
            }
        }
    }

    fn read_head(&mut self) -> Head {
        let mut lines = String::new();
        while !lines.ends_with("\r\n\r\n") {
            assert!(self.stream.read_line(&mut lines).expect("a line") > 0, "an answer: {lines}");
        }
        let status = lines.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Head { status, lines }
    }
}

/// The head of an answer.
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) lines: String,
}

impl Head {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let named = |line: &'_ str| line.split(':').next().is_some_and(|of| of.eq_ignore_ascii_case(name));
        let line = self.lines.lines().find(|line| named(line))?;
        Some(line[name.len() + 1..].trim())
    }

    fn length(&self) -> usize {
        self.header("content-length").map_or(0, |length| length.parse().expect("a length"))
    }
}

/// A server that runs until this is dropped.
pub(crate) struct Edge {
    process: Child,
    pub(crate) address: String,
    dir: std::path::PathBuf,
}

impl Edge {
    /// On the data directory `data` in there, made if it is not there.
    pub(crate) fn start(dir: &Path) -> Self {
        let mut process = Self::command(dir).arg("serve").stdout(Stdio::piped()).spawn().expect("kinora");
        let mut output = BufReader::new(process.stdout.take().expect("its output"));
        let lines = output.by_ref().lines();
        let listening = "listening on http://";
        let address =
            lines.map_while(Result::ok).find_map(|line| Some(line.strip_prefix(listening)?.to_owned()));
        // The rest is of no interest, but somebody has to take it.
        thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        Self { process, address: address.expect("an address"), dir: dir.to_owned() }
    }

    fn command(dir: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kinora"));
        command.env("KINORA__DATA__DIR", dir.join("data"));
        command.envs([("KINORA__SERVER__LISTEN", "127.0.0.1:0"), ("KINORA__ADMIN__LISTEN", "127.0.0.1:0")]);
        command.envs([("KINORA__LOG__LEVEL", "warn"), ("KINORA__SERVER__KEEPALIVE_REQUESTS", "0")]);
        command.env("KINORA__WEBHOOKS__ALLOW_CIDRS", "127.0.0.0/8");
        // Whoever measures asks more often than anybody else may.
        command.env("KINORA__LIMITS__REQUESTS_PER_SECOND", "0");
        command
    }

    /// The memory that the server holds (`VmRSS`), or the most that it has held (`VmHWM`).
    pub(crate) fn kilobytes(&self, which: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("its status");
        let line = status.lines().find_map(|line| line.strip_prefix(which)?.strip_prefix(':'));
        line.expect("a size").trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// What a command prints beside the running server.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = Self::command(&self.dir).args(arguments).output().expect("kinora");
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        // It may have stopped by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
