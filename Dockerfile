# syntax=docker/dockerfile:1

# chartgate as the only file of its image. Build it with `docker build -t chartgate .`, or for other machines with
# `docker buildx build --platform linux/amd64,linux/arm64 …`.

FROM rust:1.95.0-slim-bookworm AS build
# Set by BuildKit.
ARG TARGETARCH
SHELL ["/bin/bash", "-o", "errexit", "-o", "nounset", "-o", "pipefail", "-c"]
WORKDIR /src
# The manifest names the benchmarks, so cargo wants to see them.
COPY Cargo.toml Cargo.lock ./
COPY benches benches
COPY src src
COPY scripts/build-static scripts/
# Each platform is built on itself, natively or emulated. A cache is never shared between two.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,id=chartgate-target-${TARGETARCH},target=/src/target \
    install -D "$(scripts/build-static)" /out/chartgate

FROM scratch
LABEL org.opencontainers.image.title="chartgate" \
      org.opencontainers.image.description="Admission webhook and pre-flight check for Flux HelmReleases" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out/chartgate /chartgate
# By number, so that Kubernetes can tell that it is not root.
USER 65532:65532
# The webhook in TLS; probes and metrics in plain HTTP.
EXPOSE 8443 8080
# No HEALTHCHECK: Kubernetes ignores it, and there is no shell to run it. Probe /livez and /readyz on 8080.
ENTRYPOINT ["/chartgate"]
# All addresses, as only the container's network reaches them. Mount tls.crt and tls.key in /certs.
CMD ["serve", "--listen=:8443", "--observe=:8080", "--certs=/certs"]
