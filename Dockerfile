# Build: a static binary, with the module cache kept between builds.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG VERSION=
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/hydrastore ./cmd/hydrastore && \
    mkdir -p /out/data

# Run: the binary and nothing else, as nobody in particular.
FROM scratch
COPY --from=build /out/hydrastore /usr/bin/hydrastore
COPY --from=build --chown=65532:65532 /out/data /var/lib/hydrastore
USER 65532:65532
ENV HYDRASTORE_NODE_DATA_DIR=/var/lib/hydrastore
VOLUME /var/lib/hydrastore
# API, peers, gossip (the last one over UDP too)
EXPOSE 8700 8701 8702 8702/udp
# SIGTERM drains: see "Stopping a node" in docs/operations.md.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=2s --timeout=2s --start-period=30s --retries=3 CMD ["/usr/bin/hydrastore", "health"]
ENTRYPOINT ["/usr/bin/hydrastore"]
CMD ["server"]
