# What a session brings along: other libraries that took callbacks before us, and
# settings that nobody has checked yet.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use ContactsTier::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('backend');

attached_table($node, 'c', 10, 2, 1000);
my $insert = q{INSERT INTO c (id, account, marketing_contact_status) VALUES (%d, 1, 'marketing')};

# PostgreSQL has room for ten relation callbacks in a backend, one of which its own
# caches take; Citus takes five, and some are left for others.
SKIP:
{
	my $pg_config = $ENV{PG_CONFIG} // 'pg_config';
	my $include = `$pg_config --includedir-server`;
	my $dir = PostgreSQL::Test::Utils::tempdir;

	chomp $include;
	append_to_file(
		"$dir/others.c", q{
		#include "postgres.h"
		#include "fmgr.h"
		#include "utils/inval.h"
		PG_MODULE_MAGIC;
		static void heard(Datum arg, Oid relid) {}
		static void heard_name(Datum arg, int cache, uint32 hash) {}
		void _PG_init(void);
		void _PG_init(void)
		{
			for (int i = 0; i < 6; i++)
				CacheRegisterRelcacheCallback(heard, (Datum) 0);
			for (int i = 0; i < 30; i++)
				CacheRegisterSyscacheCallback(30, heard_name, (Datum) 0);
		}
	});
	skip 'there is no compiler', 2
	  if system("cc -shared -fPIC -I'$include' -o '$dir/others.so' '$dir/others.c' 2>'$dir/log'") != 0;
	is( $node->safe_psql(
			'postgres', "LOAD '$dir/others.so';"
			  . sprintf($insert, 101)
			  . q{; UPDATE c SET marketing_contact_status = 'non_marketing' WHERE id = 101;
			    SELECT counted = actual, pending_counted = pending_actual FROM contacts_tier.verify('c') WHERE account = '1'}),
		't|t', 'libraries that have registered callbacks leave room for ours');
	is( $node->safe_psql(
			'postgres', "LOAD '$dir/others.so'; SELECT contacts_tier.detach('c'); SELECT contacts_tier.attach('c', 'account');"
			  . q{CREATE TABLE d (id integer PRIMARY KEY, account integer); SELECT contacts_tier.attach('d', 'account');
			    INSERT INTO d SELECT n, 1 FROM generate_series(1, 5) n; SELECT count(*) FROM contacts_tier.usage()}) =~ s/^\n+//r,
		'2', 'also for all that manages and reads');
}

# Settings that come with the connection are bytes: what is not valid text is dropped with a
# warning, before the library is loaded and after, and wherever it comes from.
my $valid = q{SELECT bool_and(convert_from(convert_to(marketing_contact_status_source_name, 'UTF8'), 'UTF8') IS NOT NULL
	AND convert_from(convert_to(marketing_contact_status_source_type, 'UTF8'), 'UTF8') IS NOT NULL) FROM c};
my $ledger = q{SELECT bool_and(convert_from(convert_to(details::text, 'UTF8'), 'UTF8') IS NOT NULL) FROM contacts_tier_ledger};
my $number = 200;

sub insert_with
{
	my ($options, $what) = @_;
	my ($status, $stdout, $stderr);

	local $ENV{PGOPTIONS} = $options;
	$number++;
	($status, $stdout, $stderr) = $node->psql('postgres', sprintf($insert, $number));
	is($status, 0, "$what does not stop a session");
	return $stderr;
}

like(insert_with("-c contacts_tier.source_name=\xff\xfe", 'an invalid name'),
	qr/WARNING:  invalid value for parameter "contacts_tier.source_name"/, 'and is told');
like(insert_with("-c contacts_tier.source_type=FORM\xc3", 'a truncated character'),
	qr/WARNING:  invalid value for parameter "contacts_tier.source_type"/, 'and is told');
is(insert_with("-c contacts_tier.source_name=\xc3\xa4", 'a valid name'), '', 'silently');
is($node->safe_psql('postgres', "SELECT marketing_contact_status_source_name FROM c WHERE id = $number"),
	"\xc3\xa4", 'and it is stored');

# With the library loaded by the postmaster, which knows no encoding yet
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'contacts_tier'\ncontacts_tier.source_name = '\xff\xfe'\n");
$node->restart;
insert_with('', 'an invalid name in the configuration');
isnt($node->safe_psql('postgres', "SELECT marketing_contact_status_source_name FROM c WHERE id = $number"),
	"\xff\xfe", 'and is not stored');
{
	local $ENV{PGOPTIONS} = "-c contacts_tier.source_name=\xff\xfe";
	my ($status, $stdout, $stderr) = $node->psql('postgres', 'SELECT 1');

	isnt($status, 0, 'a connection with an invalid name is refused where the library is loaded');
}
is($node->safe_psql('postgres', $valid), 't', 'contacts hold valid text');
is($node->safe_psql('postgres', $ledger), 't', 'and so does the ledger');

$node->stop;
done_testing();
