# The official image of PostgreSQL with the extension in it:
#
#   docker build -t contacts_tier .
#   docker build --build-arg PG_MAJOR=17 -t contacts_tier:17 .
#
# Then it is as that image is, and CREATE EXTENSION contacts_tier works. Of its variants those on Debian will do.

ARG PG_MAJOR=18

FROM postgres:${PG_MAJOR} AS build
ARG PG_MAJOR
RUN apt-get update && \
    apt-get install -y --no-install-recommends make gcc libc6-dev "postgresql-server-dev-${PG_MAJOR}"
COPY . /usr/src/contacts_tier
RUN make -C /usr/src/contacts_tier -j"$(nproc)" PG_CONFIG="/usr/lib/postgresql/${PG_MAJOR}/bin/pg_config" && \
    make -C /usr/src/contacts_tier install PG_CONFIG="/usr/lib/postgresql/${PG_MAJOR}/bin/pg_config" DESTDIR=/installed

FROM postgres:${PG_MAJOR}
COPY --from=build /installed /
