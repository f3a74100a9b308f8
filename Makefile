# contacts_tier: `make demo` shows what it does, `make check` tests it (both
# install what they need); `make` and `make install` are the usual PGXS ones.

EXTENSION = contacts_tier
EXTVERSION = $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" $(EXTENSION).control)

# These goals must work where neither a compiler nor PostgreSQL's build files
# are installed yet, so they never reach the PGXS part below.
BOOTSTRAP_GOALS = check demo bench torture property fuzz matrix assert
ifneq ($(filter $(BOOTSTRAP_GOALS),$(MAKECMDGOALS)),)

.PHONY: $(BOOTSTRAP_GOALS)
check:
	@test/check
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
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c src/*/*.c)))
PG_CPPFLAGS = -I$(srcdir)/src -DCONTACTS_TIER_VERSION='"$(EXTVERSION)"'

# The script of the version under development is generated from its parts; the
# scripts of released versions are frozen files.
SCRIPT = sql/$(EXTENSION)--$(EXTVERSION).sql
DATA_built = $(SCRIPT)
DATA = $(filter-out $(SCRIPT),$(wildcard sql/$(EXTENSION)--*.sql))
DOCS = README.md

REGRESS = $(patsubst test/sql/%.sql,%,$(sort $(wildcard test/sql/*.sql)))
REGRESS_OPTS = --inputdir=test --load-extension=$(EXTENSION)
ISOLATION = $(patsubst test/specs/%.spec,%,$(sort $(wildcard test/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test --outputdir=. --load-extension=$(EXTENSION)
EXTRA_CLEAN = results regression.diffs regression.out output_iso tmp_check log

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
ifneq ($(shell test $$($(PG_CONFIG) --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/') -ge 15 && echo yes),yes)
$(error contacts_tier needs PostgreSQL 15 or later, and $(PG_CONFIG) is of $(shell $(PG_CONFIG) --version))
endif
include $(PGXS)

all: $(SCRIPT)

$(SCRIPT): $(sort $(wildcard sql/parts/*.sql))
	cat $^ > $@

$(OBJS): $(wildcard src/*/*.h) $(EXTENSION).control

# As user postgres: PostgreSQL's test clusters refuse to run as root.
PROVE_TESTS = test/t/*.pl
PG_PROVE_FLAGS += -I test/perl
prove_installcheck:
	$(prove_installcheck)

.PHONY: prove_installcheck
endif
