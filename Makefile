# router6d. Two commands do everything on a fresh Debian machine with Go and
# root: make demo, make test.

GO     ?= go
BIN    := bin/router6d
FUZZ   ?= 30s

# What the tests and the demo need from Debian besides Go: real peers.
# The last line is for the proof: SPIN, and the compiler that it needs. The one before
# is an access concentrator, and a kernel for it. Chromium looks at the status page.
PACKAGES := iproute2 chromium curl openssl nmap iperf3 iputils-ping tcpdump tshark ndisc6 python3-scapy docker.io systemd \
  user-mode-linux kmod procps ppp pppoe \
  spin gcc libc6-dev

.PHONY: all build demo test privileged unit check proof bras soak fuzz bench bench-detach bench-fib bench-forward bench-tcpstack peers clean

all: build

build: $(BIN)

.PHONY: $(BIN)
$(BIN):
	CGO_ENABLED=0 $(GO) build -trimpath -o $@ ./cmd/router6d

# The main job: traffic through interfaces that come and go. Needs root.
demo: build
	$(BIN) demo $(DEMO)

# Everything that CI runs.
test: peers check unit privileged

# No privilege, no network, quick. The race detector is on when all of it runs again.
unit:
	$(GO) test ./...

# Real devices, in namespaces of their own, where a skip is a failure; and the
# faults that those tests must see. The race detector does not wait for a second when a
# program ends: tests have waited for all that they started.
privileged: build
	ROUTER6D_PRIVILEGED=1 ROUTER6D_BIN=$(CURDIR)/$(BIN) GORACE=atexit_sleep_ms=0 $(GO) test -race -tags torture -count=1 -timeout 20m -p 1 ./...
	ROUTER6D_PRIVILEGED=1 $(GO) test -tags 'torture mutant_nograce' -count=1 -run Tags ./test/torture
	ROUTER6D_PRIVILEGED=1 $(GO) test -tags 'torture mutant_nowithdraw' -count=1 -run Tags ./test/torture
	ROUTER6D_PRIVILEGED=1 $(GO) test -tags 'torture mutant_noguard' -count=1 -run TimersOver ./test/torture

# PPPoE alone, against Debian's pppoe-server and pppd and our own concentrator.
bras: peers build
	ROUTER6D_PRIVILEGED=1 $(GO) test -race -count=1 -timeout 20m ./test/lab/bras
	ROUTER6D_PRIVILEGED=1 ROUTER6D_BIN=$(CURDIR)/$(BIN) $(GO) test -race -count=1 -timeout 20m -run PPPoE ./test/e2e
	ROUTER6D_PRIVILEGED=1 $(GO) test -tags torture -count=1 -timeout 20m -run RedialsUnder ./test/torture

# The seed's scene for long: sessions that die under TCP, a hundred times against the
# real server and a thousand against our own concentrator, and routers that are killed;
# and the timers of the router's own TCP, over an interface and over sessions.
soak: peers build
	ROUTER6D_PRIVILEGED=1 ROUTER6D_BIN=$(CURDIR)/$(BIN) $(GO) test -race -count=1 -timeout 60m -v -run 'PPPoEDies/^(keep|renew)$$' ./test/e2e -args -drops 100
	ROUTER6D_PRIVILEGED=1 ROUTER6D_BIN=$(CURDIR)/$(BIN) $(GO) test -race -count=1 -timeout 60m -v -run 'PPPoEDies/own' ./test/e2e -args -drops 1000
	ROUTER6D_PRIVILEGED=1 ROUTER6D_BIN=$(CURDIR)/$(BIN) $(GO) test -race -count=1 -timeout 60m -v -run 'PPPoEKilledUnderTCP' ./test/e2e -args -kills 100
	ROUTER6D_PRIVILEGED=1 $(GO) test -count=1 -timeout 20m -v -run TimersOver ./test/torture -args -flapping 3m
	ROUTER6D_PRIVILEGED=1 $(GO) test -tags torture -count=1 -timeout 20m -v -run RedialsUnder ./test/torture -args -redialing 3m

# Format, vet and lint; the linter has a go.mod of its own, so that the router's has
# only what the router needs.
check:
	$(GO) vet ./...
	$(GO) tool -modfile=.ci/lint/go.mod golangci-lint run

# The end of an interface in every interleaving there is.
proof: peers
	ROUTER6D_PRIVILEGED=1 $(GO) test -count=1 -v ./test/model

# Each fuzz target for a while.
fuzz:
	@for p in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	    echo "== $$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZ) -fuzzminimizetime 10x $$p || exit 1; \
	  done; \
	done

# Go benchmarks of all packages.
bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...

# Withdrawal and restoration by number of routes, beside the kernel.
bench-detach: build
	ROUTER6D_PRIVILEGED=1 ROUTER6D_BIN=$(CURDIR)/$(BIN) $(GO) test -tags bench -count=1 -timeout 30m -v -run Detach ./test/bench

# Lookups, memory, loading, updates and churn of the FIB, beside bart.
bench-fib:
	@mkdir -p bin
	$(GO) test -tags bench -count=1 -timeout 10m -v -run FIB ./test/bench -args -fib-json $(CURDIR)/bin/bench-fib.json

# Forwarding beside the kernel, relays and gVisor, in about ten minutes; FORWARD
# passes options, as in FORWARD='-rounds 1 -only tcp1 -contestants router6d,kernel'.
bench-forward: build
	ROUTER6D_PRIVILEGED=1 ROUTER6D_BIN=$(CURDIR)/$(BIN) $(GO) test -tags bench -count=1 -timeout 30m -v ./test/bench/forward -args -json $(CURDIR)/bin/bench-forward.json $(FORWARD)

# The router's own TCP beside gVisor alone, and transit beside it and under a flood of
# SYNs, in two minutes; TCPSTACK passes options, as in TCPSTACK='-rounds 9 -seconds 2'.
bench-tcpstack: build
	ROUTER6D_PRIVILEGED=1 ROUTER6D_BIN=$(CURDIR)/$(BIN) $(GO) test -tags bench -count=1 -timeout 10m -v ./test/bench/tcp -args $(TCPSTACK)

# Installs what is missing, with apt-get.
peers:
	@need=; for p in $(PACKAGES); do dpkg -s $$p >/dev/null 2>&1 || need="$$need $$p"; done; \
	if [ -n "$$need" ]; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$need; \
	fi

clean:
	rm -rf bin
