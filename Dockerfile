# router6d in a container: docs/container.md.
#
#   docker build -t router6d .
#
# One step fetches the modules and builds, so that a tree with a vendor directory
# builds without a network.

ARG GO_IMAGE=golang:1.26-bookworm
ARG BASE_IMAGE=scratch

FROM ${GO_IMAGE} AS build
WORKDIR /src
COPY . .
ENV CGO_ENABLED=0 GOFLAGS=-buildvcs=false
RUN ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", "/out/router6d", "./cmd/router6d"]

FROM ${BASE_IMAGE}
COPY --from=build /out/router6d /usr/bin/router6d
COPY deploy/router6d.yaml /etc/router6d/router6d.yaml
# The control socket is the only thing it writes: a root that is read-only will do.
VOLUME /run
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 \
	CMD ["/usr/bin/router6d", "show", "health"]
ENTRYPOINT ["/usr/bin/router6d"]
CMD ["run", "--config", "/etc/router6d/router6d.yaml"]
