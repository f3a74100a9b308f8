# contacts_tier: `make demo` shows what it does, `make check` tests it (both
# install what they need); `make` and `make install` are the usual PGXS ones.

EXTENSION = contacts_tier
# Where this file is: a build may have a directory of its own, by "make -f", by a
# Makefile there that includes this one, or by VPATH
HERE := $(dir $(lastword $(MAKEFILE_LIST)))
EXTVERSION = $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" $(HERE)$(EXTENSION).control)

# These goals must work where neither a compiler nor PostgreSQL's build files
# are installed yet, so they never reach the PGXS part below.
BOOTSTRAP_GOALS = check check-all compilers freeze clients demo bench torture property fuzz matrix assert dist
ifneq ($(filter $(BOOTSTRAP_GOALS),$(MAKECMDGOALS)),)

.PHONY: $(BOOTSTRAP_GOALS)
check:
	@$(HERE)test/check
check-all:
	@$(HERE)test/check_all
freeze:
	@$(HERE)sql/freeze $(VERSION)
compilers:
	@$(HERE)test/matrix --compilers
clients:
	@$(HERE)test/check $(basename $(notdir $(sort $(wildcard $(HERE)test/clients/*.pl))))
demo:
	@$(HERE)demo/run
bench:
	@$(HERE)test/bench/run
torture:
	@DURATION=$(DURATION) $(HERE)test/torture/run
property:
	@SEED=$(SEED) SEEDS=$(SEEDS) ACCOUNTS=$(ACCOUNTS) STEPS=$(STEPS) $(HERE)test/property/run
fuzz:
	@FUZZ_SECONDS=$(SECONDS) FUZZ_SEED=$(SEED) FUZZ='$(FUZZ)' $(HERE)test/fuzz/run
matrix:
	@$(HERE)test/matrix
assert:
	@$(HERE)test/assert_server

# The archives of a release are those of its commit, whatever else lies about.
DIST = $(EXTENSION)-$(EXTVERSION)
dist:
	git -C $(HERE) diff --quiet HEAD || { echo "there are changes that no commit has" >&2; exit 1; }
	git -C $(HERE) archive --prefix=$(DIST)/ --output=$(CURDIR)/$(DIST).zip HEAD
	git -C $(HERE) archive --prefix=$(DIST)/ --output=$(CURDIR)/$(DIST).tar.gz HEAD

else

MODULE_big = $(EXTENSION)
OBJS = $(patsubst $(HERE)%.c,%.o,$(sort $(wildcard $(HERE)src/*.c $(HERE)src/*/*.c)))
PG_CPPFLAGS = -I$(HERE)src -DCONTACTS_TIER_VERSION='"$(EXTVERSION)"'

# The script of the version under development is generated from its parts; the
# scripts of released versions are files that sql/freeze has frozen.
SCRIPT = sql/$(EXTENSION)--$(EXTVERSION).sql
FROZEN := $(shell grep -Fxs '$(EXTVERSION)' $(HERE)sql/frozen)
ifeq ($(FROZEN),)
DATA_built = $(SCRIPT)
endif
DATA = $(filter-out $(DATA_built),$(patsubst $(HERE)%,%,$(wildcard $(HERE)sql/$(EXTENSION)--*.sql)))
# Not as DOCS, which PGXS would install beside the README.md of each other extension
INSTALLED_DOCUMENTS = README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md LICENSE $(patsubst $(HERE)%,%,$(wildcard $(HERE)docs/*.md $(HERE)docs/*.svg $(HERE)docs/*.csv \
	$(HERE)examples/* $(HERE)monitoring/*))

REGRESS = $(patsubst $(HERE)test/sql/%.sql,%,$(sort $(wildcard $(HERE)test/sql/*.sql)))
REGRESS_OPTS = --inputdir=$(HERE)test --load-extension=$(EXTENSION)
ISOLATION = $(patsubst $(HERE)test/specs/%.spec,%,$(sort $(wildcard $(HERE)test/specs/*.spec)))
ISOLATION_OPTS = --inputdir=$(HERE)test --outputdir=. --load-extension=$(EXTENSION)
# Tests set the clock, and one of them is about the warning; specs that do not name an
# isolation level mean this one, whatever the server's default is.
installcheck: export PGOPTIONS += -c contacts_tier.clock_warning=off -c default_transaction_isolation=read\ committed
EXTRA_CLEAN = results regression.diffs regression.out output_iso tmp_check log demo/usage-page.svg

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
SERVER_MAJOR := $(shell $(PG_CONFIG) --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/')
ifeq ($(PGXS),)
$(error there is no $(PG_CONFIG); it comes with the development files of the server, and PG_CONFIG=/path/to/pg_config names it)
endif
ifneq ($(shell test $(SERVER_MAJOR) -ge 15 && echo yes),yes)
$(error contacts_tier needs PostgreSQL 15 or later, and $(PG_CONFIG) is of PostgreSQL $(SERVER_MAJOR))
endif
include $(PGXS)

ifeq ($(FROZEN),)
all: $(SCRIPT)

$(SCRIPT): | sql/
$(SCRIPT): $(sort $(wildcard $(HERE)sql/parts/*.sql))
	cat $^ > $@
endif

# Only sources are looked for where they are: by VPATH, make would also find there what a
# build in the sources has left, and take that for its own.
ifneq ($(srcdir),.)
srcdir := $(srcdir)
vpath %.c $(srcdir)
vpath %.control $(srcdir)
override VPATH :=
endif

$(OBJS) $(OBJS:.o=.bc): | $(sort $(dir $(OBJS)))
$(sort $(dir $(OBJS))) sql/:
	@$(MKDIR_P) $@
$(OBJS) $(OBJS:.o=.bc): $(wildcard $(HERE)src/*/*.h) $(HERE)$(EXTENSION).control

# pg_regress looks for it where it is called
installcheck: expected
expected:
	ln -s $(abspath $(HERE)expected) $@
clean: remove_link
remove_link:
	[ ! -L expected ] || rm expected

document_dir = $(DESTDIR)$(docdir)/$(EXTENSION)
install: install_documents
install_documents:
	$(MKDIR_P) $(patsubst %,'$(document_dir)/%',$(sort $(dir $(INSTALLED_DOCUMENTS))))
	$(foreach d,$(INSTALLED_DOCUMENTS),$(INSTALL_DATA) '$(HERE)$d' '$(document_dir)/$d' &&) :
uninstall: uninstall_documents
uninstall_documents:
	rm -rf '$(document_dir)'

# As user postgres: PostgreSQL's test clusters refuse to run as root.
PROVE_TESTS = test/t/*.pl test/clients/*.pl
PG_PROVE_FLAGS += -I test/perl
prove_installcheck:
	$(prove_installcheck)

.PHONY: prove_installcheck remove_link install_documents uninstall_documents
endif
