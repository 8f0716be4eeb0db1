# For those who have docker: the same images as `cargo xtask image`, which needs none.
#
#   docker build --target edge -t hushmark-edge:0.1.0 .
#
# Targets: edge, writer, operator, redis, clickhouse. The engine of `clickhouse` comes from npm; a
# region that has a ClickHouse server of its own needs no such image.

FROM rust:1.95-bookworm AS programs
WORKDIR /source
COPY . .
RUN cargo build --release --locked \
    -p hushmark-edge -p hushmark-writer -p hushmark-operator -p hushmark-embedded

FROM node:24-bookworm AS engine
WORKDIR /engine
RUN npm pack --silent @chdb/lib-linux-x64-gnu@26.7.3-stable.1 \
    && tar -xzf ./*.tgz package/libchdb.so \
    && echo "36ad4e999882821ef13cf2d0f52c93f48e6ee1b4498b35a201c23ce4b8d15bf5  package/libchdb.so" \
       | sha256sum --check

FROM gcr.io/distroless/cc-debian12:nonroot AS edge
COPY --from=programs /source/target/release/hushmark-edge /usr/bin/
USER 65532:65532
EXPOSE 8080 9080
ENTRYPOINT ["/usr/bin/hushmark-edge"]

FROM gcr.io/distroless/cc-debian12:nonroot AS writer
COPY --from=programs /source/target/release/hushmark-writer /usr/bin/
USER 65532:65532
EXPOSE 8402
ENTRYPOINT ["/usr/bin/hushmark-writer"]

FROM gcr.io/distroless/cc-debian12:nonroot AS operator
COPY --from=programs /source/target/release/hushmark-operator /usr/bin/
USER 65532:65532
EXPOSE 9082
ENTRYPOINT ["/usr/bin/hushmark-operator"]

FROM gcr.io/distroless/cc-debian12:nonroot AS clickhouse
COPY --from=programs /source/target/release/hushmark-embedded /usr/bin/
COPY --from=engine /engine/package/libchdb.so /usr/lib/hushmark/libchdb.so
USER 65532:65532
EXPOSE 8123
ENTRYPOINT ["/usr/bin/hushmark-embedded", "--lib", "/usr/lib/hushmark/libchdb.so"]
CMD ["--data", "/var/lib/clickhouse", "--listen", "0.0.0.0:8123", "--allow-remote"]

FROM debian:bookworm-slim AS redis
RUN apt-get update \
    && apt-get install -y --no-install-recommends redis-server \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o 65532 -g 65532 /var/lib/redis
USER 65532:65532
EXPOSE 6379
ENTRYPOINT ["/usr/bin/redis-server"]
CMD ["--dir", "/var/lib/redis", "--appendonly", "yes", "--appendfsync", "always"]
