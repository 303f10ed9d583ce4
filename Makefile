# The two commands that need nothing but Go: `make dev` and `make test`.
.DEFAULT_GOAL := help
COMPOSE = docker compose --env-file $$(scripts/compose-env)

.PHONY: help build dev test race e2e bench fuzz lint generate check-generated ci image up down clean

# What the targets do.
help:
	@awk '/^# /{text=substr($$0,3)} /^[a-z-]+:/{sub(":.*","");printf "%-16s %s\n",$$0,text} !/^# /{text=""}' Makefile

# bin/hydrastore, static.
build:
	CGO_ENABLED=0 go build -trimpath -o bin/hydrastore ./cmd/hydrastore

# A cluster of three nodes in one process, on 127.0.0.1:8700, 8710 and 8720, until Ctrl-C.
dev:
	go run ./cmd/hydrastore dev

# All tests that run everywhere. Those that want HAProxy or network namespaces run where these are.
test:
	go test ./...

# The same with the race detector.
race:
	go test -race ./...

# The real binary from outside; what it needs must be there (scripts/ci-deps installs it).
e2e:
	HYDRASTORE_E2E=require go test -v ./e2e/...

# Go benchmarks with their figures. Takes minutes; wants an idle machine.
bench:
	go test -run '^$$' -bench . -benchmem -timeout 60m ./...

# Every fuzz target on FUZZCOUNT inputs (default 20000).
fuzz:
	scripts/fuzz

# Static checks.
lint:
	scripts/lint

# Writes generated code anew (protobuf, OpenAPI), with pinned tools.
generate:
	scripts/generate

# Fails when generated code is not what the sources give.
check-generated:
	scripts/check-generated

# All that must be green before a change goes in.
ci:
	.ci/run

# The container image.
image:
	docker build --build-arg VERSION=$$(git describe --tags --always --dirty) -t hydrastore .

# Three containers and HAProxy on 127.0.0.1:8690; prints where the admin's password is.
up:
	$(COMPOSE) up --build --detach --wait
	@echo "ready on http://127.0.0.1:8690; user admin, password in $$(scripts/compose-env)"

# Stops them; the volumes stay (docker compose down --volumes removes them).
down:
	$(COMPOSE) down

# Removes what the targets above made here, not the volumes.
clean:
	rm -rf bin dist
