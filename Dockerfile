# syntax=docker/dockerfile:1

# Builds what ships with the same make steps as everywhere else.
FROM rust:1.95-bookworm AS build
# The image brings this toolchain; rust-toolchain.toml would fetch clippy and rustfmt, which no build needs.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /src
COPY .ci/setup .ci/setup
RUN .ci/setup
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    make release && install -D target/release/kinora /out/kinora

FROM debian:bookworm-slim
# Certificate authorities, to reach origins over TLS.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin kinora \
    && install -d -o kinora -g kinora -m 0700 /data
COPY --from=build /out/kinora /usr/local/bin/kinora
COPY LICENSE LICENSE-APACHE LICENSE-MIT /usr/share/doc/kinora/

USER kinora
WORKDIR /data
VOLUME /data
ENV KINORA__DATA__DIR=/data \
    KINORA__SERVER__LISTEN=0.0.0.0:8080
EXPOSE 8080
# The admin listener stays inside the container; bash asks it, so that no program is installed for it.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["bash", "-c", \
    "exec 3<>/dev/tcp/127.0.0.1/9090 && printf 'GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && read -r line <&3 && [[ $line == *' 200 '* ]]"]
ENTRYPOINT ["kinora"]
CMD ["serve"]
