# Soloist from its sources.
#
#   docker build -t soloist .
#   docker run --name soloist -p 127.0.0.1:4001:4001 -v soloist:/var/lib/soloist --stop-timeout 45 soloist
FROM rust:1-slim-bookworm AS build
WORKDIR /src
# The compiler of C that the embedded SQLite needs.
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY Cargo.toml Cargo.lock build.rs ./
COPY proto proto
COPY src src
COPY examples examples
COPY benches benches
RUN cargo build --release --locked --bin soloist

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin soloist \
    && install -d -o soloist -g soloist -m 0700 /var/lib/soloist
COPY --from=build /src/target/release/soloist /usr/local/bin/soloist
# All addresses of the container: which of them can be reached is said where its ports are published.
ENV SOLOIST_LISTEN=0.0.0.0:4001 \
    SOLOIST_DATA_DIR=/var/lib/soloist \
    SOLOIST_LOG_FORMAT=json \
    SOLOIST_SERVER=http://127.0.0.1:4001
USER soloist
VOLUME /var/lib/soloist
EXPOSE 4001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["soloist", "health"]
ENTRYPOINT ["soloist"]
CMD ["serve"]
