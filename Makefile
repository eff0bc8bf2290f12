# Everything a developer runs, by name; each target is one script, and scripts/setup.sh installs what it needs.
.PHONY: help demo test reader trove-test plugins-test golden bench bench-s3 bench-smoke bench-metadata lint deny fuzz-smoke interleavings kill-long image cluster-smoke cluster-test cluster-up cluster-down manifests manifests-check

help: ## this list
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

demo: ## back up a real file system, change it, restore two points, compare every file
	@scripts/demo.sh

test: ## all tests
	@scripts/test.sh

reader: ## the second reader, in Python, over all golden repositories (tests/reader)
	@scripts/reader.sh

trove-test: ## the plugin for Trove against a real Keystone and a real Trove out of Debian's packages
	@scripts/trove-test.sh

plugins-test: ## points of resources with the example plugin and with a real PostgreSQL
	@scripts/plugins-test.sh

golden: ## golden bytes and the worked example anew, after a change of the format; only until the first release
	@scripts/golden.sh

bench: ## compare with restic, rustic, borg, kopia and fio (BENCH_SIZE=2GiB BENCH_ROUNDS=3); see benches/README.md
	@scripts/bench.sh

bench-s3: ## compare with restic over S3 and TLS, on a server of its own
	@scripts/bench-s3.sh

bench-smoke: ## the bench on 64 MiB, only coffer
	@benches/smoke.sh

bench-metadata: ## metadata of 24 points on 64 GiB, and a volume of 64 TiB
	@benches/metadata.sh

lint: ## formatting, clippy, documentation, scripts
	@scripts/lint.sh

deny: ## licences, sources and advisories of the dependencies
	@scripts/deny.sh

fuzz-smoke: ## a short run of every fuzz target
	@scripts/fuzz-smoke.sh

interleavings: ## the arena's waiting line under every order of its threads (loom)
	@scripts/interleavings.sh

kill-long: ## a long run of backups, prunes and restores killed at any moment
	@scripts/kill-long.sh

image: ## the images, without Docker: target/image/coffer-agent.tar and coffer-controller.tar
	@scripts/images.sh

manifests: ## plain manifests of deploy/ anew from its chart
	@scripts/manifests.sh

manifests-check: ## whether they are what the chart says
	@scripts/manifests.sh --check

cluster-up: ## two test clusters for people, coffer-a of two nodes and coffer-b of one (root; see tests/cluster/README.md)
	@scripts/cluster-up.sh

cluster-down: ## ends both, and removes all they had
	@scripts/cluster-down.sh

cluster-test: ## a plan through days on two real clusters, restored on the other one (root; see tests/cluster/README.md)
	@scripts/cluster-test.sh

cluster-smoke: ## the image and the manifests on a real one-node Kubernetes (root; see tests/cluster/README.md)
	@scripts/cluster-smoke.sh
