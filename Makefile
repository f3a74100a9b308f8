# contacts_tier: `make demo` shows what it does, `make check` tests it (both
# install what they need); `make` and `make install` are the usual PGXS ones.

EXTENSION = contacts_tier
# Where this file is: a build may have a directory of its own (VPATH)
HERE := $(dir $(firstword $(MAKEFILE_LIST)))
EXTVERSION = $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" $(HERE)$(EXTENSION).control)

# These goals must work where neither a compiler nor PostgreSQL's build files
# are installed yet, so they never reach the PGXS part below.
BOOTSTRAP_GOALS = check clients demo bench torture property fuzz matrix assert
ifneq ($(filter $(BOOTSTRAP_GOALS),$(MAKECMDGOALS)),)

.PHONY: $(BOOTSTRAP_GOALS)
check:
	@test/check
clients:
	@test/check $(basename $(notdir $(sort $(wildcard $(HERE)test/clients/*.pl))))
demo:
	@demo/run
bench:
	@test/bench/run
torture:
	@DURATION=$(DURATION) test/torture/run
property:
	@SEED=$(SEED) SEEDS=$(SEEDS) ACCOUNTS=$(ACCOUNTS) STEPS=$(STEPS) test/property/run
fuzz:
	@FUZZ_SECONDS=$(SECONDS) FUZZ_SEED=$(SEED) FUZZ='$(FUZZ)' test/fuzz/run
matrix:
	@test/matrix
assert:
	@test/assert_server

else

MODULE_big = $(EXTENSION)
OBJS = $(patsubst $(HERE)%.c,%.o,$(sort $(wildcard $(HERE)src/*.c $(HERE)src/*/*.c)))
PG_CPPFLAGS = -I$(HERE)src -DCONTACTS_TIER_VERSION='"$(EXTVERSION)"'

# The script of the version under development is generated from its parts; the
# scripts of released versions are frozen files.
SCRIPT = sql/$(EXTENSION)--$(EXTVERSION).sql
DATA_built = $(SCRIPT)
DATA = $(filter-out $(SCRIPT),$(patsubst $(HERE)%,%,$(wildcard $(HERE)sql/$(EXTENSION)--*.sql)))
DOCS = README.md

REGRESS = $(patsubst $(HERE)test/sql/%.sql,%,$(sort $(wildcard $(HERE)test/sql/*.sql)))
REGRESS_OPTS = --inputdir=$(HERE)test --load-extension=$(EXTENSION)
ISOLATION = $(patsubst $(HERE)test/specs/%.spec,%,$(sort $(wildcard $(HERE)test/specs/*.spec)))
ISOLATION_OPTS = --inputdir=$(HERE)test --outputdir=. --load-extension=$(EXTENSION)
# Tests set the clock; one of them is about the warning.
installcheck: export PGOPTIONS += -c contacts_tier.clock_warning=off
EXTRA_CLEAN = results regression.diffs regression.out output_iso tmp_check log

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
ifneq ($(shell test $$($(PG_CONFIG) --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/') -ge 15 && echo yes),yes)
$(error contacts_tier needs PostgreSQL 15 or later, and $(PG_CONFIG) is of $(shell $(PG_CONFIG) --version))
endif
include $(PGXS)

all: $(SCRIPT)

$(SCRIPT): $(sort $(wildcard $(HERE)sql/parts/*.sql))
	cat $^ > $@

# No target of make, which would find them where the sources are
$(shell mkdir -p $(sort $(dir $(OBJS) $(SCRIPT))))
# and what pg_regress looks for where it is called
$(shell [ -e expected ] || ln -s $(abspath $(HERE)expected) expected)
$(OBJS): $(wildcard $(HERE)src/*/*.h) $(HERE)$(EXTENSION).control

# As user postgres: PostgreSQL's test clusters refuse to run as root.
PROVE_TESTS = test/t/*.pl test/clients/*.pl
PG_PROVE_FLAGS += -I test/perl
prove_installcheck:
	$(prove_installcheck)

.PHONY: prove_installcheck
endif
