# What newer servers offer, and older ones do not have: it works by the fast ways as it does
# by plain triggers, and the contacts are counted.
# Rule S6.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use ContactsTier::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('newer');
my $version = $node->safe_psql('postgres', 'SHOW server_version_num') / 10000;

# From which version, what it is about, the statements, and what they return.  They run with
# a table "contacts" of their own, in which account 1 is subscribed to a tier of 5 contacts.
my @cases = (
	[   16,
		'COPY with the option DEFAULT calls a volatile function when the rows before are there',
		q{
		CREATE FUNCTION so_far() RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT count(*) FROM contacts';
		ALTER TABLE contacts ADD n bigint DEFAULT so_far();
		COPY contacts (id, account, n, marketing_contact_status) FROM stdin (DEFAULT '\D');
1	1	\D	marketing
2	1	70	marketing
3	1	\D	\N
4	1	\D	\D
\.
		SELECT id, n, marketing_contact_status FROM contacts ORDER BY id},
		"1|0|marketing\n2|70|marketing\n3|2|non_marketing\n4|3|non_marketing"
	],
	[   17,
		'COPY skips rows that cannot be read',
		q{
		SET client_min_messages = error;
		COPY contacts (id, account, marketing_contact_status) FROM stdin (ON_ERROR ignore);
1	1	marketing
2	1	of no kind
x	1	marketing
4	1	non_marketing
\.
		SELECT id, marketing_contact_status, marketing_contact_status_source_type FROM contacts ORDER BY id},
		"1|marketing|USER\n4|non_marketing|USER"
	],
	[   17,
		'COPY takes FORCE_NULL for all columns',
		q{
		COPY contacts (id, account, email, marketing_contact_status) FROM stdin (FORMAT csv, FORCE_NULL *);
1,1,"",""
2,1,"x","marketing"
\.
		SELECT id, email IS NULL, marketing_contact_status FROM contacts ORDER BY id},
		"1|t|non_marketing\n2|f|marketing"
	],
	[   17,
		'MERGE returns what is stored, and acts on contacts without a source row',
		q{
		INSERT INTO contacts (id, account, marketing_contact_status)
			VALUES (1, 1, 'marketing'), (2, 1, 'marketing'), (3, 1, NULL), (4, 1, NULL);
		MERGE INTO contacts c USING (VALUES (1, 'non_marketing'), (3, 'marketing'), (5, NULL)) s (id, status) ON c.id = s.id
			WHEN MATCHED THEN UPDATE SET marketing_contact_status = s.status::contacts_tier.marketing_status
			WHEN NOT MATCHED THEN INSERT (id, account, marketing_contact_status)
				VALUES (s.id, 1, s.status::contacts_tier.marketing_status)
			WHEN NOT MATCHED BY SOURCE AND c.id = 2 THEN DELETE
			WHEN NOT MATCHED BY SOURCE THEN UPDATE SET marketing_contact_status = 'marketing'
			RETURNING merge_action(), c.id, c.marketing_contact_status, c.marketing_contact_until_next_update;
		SELECT id, marketing_contact_status FROM contacts ORDER BY id},
		[   'DELETE|2|marketing|', 'INSERT|5|non_marketing|',
			'UPDATE|1|marketing|t', 'UPDATE|3|marketing|', 'UPDATE|4|marketing|',
			"1|marketing", "3|marketing", "4|marketing", "5|non_marketing"
		]
	],
	[   17,
		'MERGE in WITH, on a partitioned table',
		q{
		WITH merged AS (
			MERGE INTO parts p USING (VALUES (1), (11)) s (id) ON p.id = s.id
				WHEN NOT MATCHED THEN INSERT (id, account, marketing_contact_status) VALUES (s.id, 1, 'marketing')
				RETURNING p.id, p.marketing_contact_status)
		SELECT * FROM merged ORDER BY id;
		MERGE INTO parts p USING (VALUES (1, 12), (11, 2)) s (id, to_id) ON p.id = s.id
			WHEN MATCHED THEN UPDATE SET id = s.to_id RETURNING merge_action(), p.id, p.marketing_contact_status;
		SELECT tableoid::regclass, id FROM parts ORDER BY id},
		[ '11|marketing', '1|marketing', 'UPDATE|12|marketing', 'UPDATE|2|marketing', 'parts_0|2', 'parts_1|12' ]
	],
	[   18,
		'RETURNING OLD and NEW, and generated columns that are virtual',
		q{
		ALTER TABLE contacts ADD upper text GENERATED ALWAYS AS (upper(email)) VIRTUAL,
			ADD leaves boolean GENERATED ALWAYS AS (marketing_contact_until_next_update IS TRUE) VIRTUAL,
			ADD lower text GENERATED ALWAYS AS (lower(email)) STORED;
		INSERT INTO contacts (id, account, email, marketing_contact_status) VALUES (1, 1, 'Ab', 'marketing')
			RETURNING old.id, new.id, new.upper, new.leaves, new.lower, old.marketing_contact_status, new.marketing_contact_status;
		UPDATE contacts SET marketing_contact_status = 'non_marketing', email = 'Cd'
			RETURNING old.upper, new.upper, old.leaves, new.leaves, new.lower, new.marketing_contact_status;
		INSERT INTO contacts AS c (id, account, email) VALUES (1, 1, 'Ef')
			ON CONFLICT (id) DO UPDATE SET email = EXCLUDED.upper || EXCLUDED.email, marketing_contact_status = EXCLUDED.marketing_contact_status
			RETURNING old.upper, new.upper, old.leaves, new.leaves, new.marketing_contact_status;
		UPDATE contacts SET email = 'Gh' RETURNING old.email, new.upper, new.leaves;
		COPY contacts (id, account, email, marketing_contact_status) FROM stdin;
2	1	Ij	marketing
\.
		DELETE FROM contacts WHERE id = 2 RETURNING old.upper, new.upper, old.leaves, old.marketing_contact_status},
		[   '|1|AB|f|ab||marketing', 'AB|CD|f|t|cd|marketing',
			'CD|EFEF|t|t|marketing', 'EFEf|GH|t', 'IJ||f|marketing'
		]
	],
	[   18,
		'a constraint on a virtual column holds in COPY',
		q{
		ALTER TABLE contacts ADD upper text GENERATED ALWAYS AS (upper(email)) VIRTUAL NOT NULL, ADD CHECK (upper <> 'NO');
		\set VERBOSITY sqlstate
		\set ON_ERROR_STOP 0
		COPY contacts (id, account, email, marketing_contact_status) FROM stdin;
1	1	yes	marketing
2	1	\N	marketing
\.
		\echo :LAST_ERROR_SQLSTATE
		COPY contacts (id, account, email, marketing_contact_status) FROM stdin;
1	1	yes	marketing
2	1	no	marketing
\.
		\echo :LAST_ERROR_SQLSTATE
		SELECT count(*) FROM contacts},
		"23502\n23514\n0"
	],
	[   18,
		'a key WITHOUT OVERLAPS',
		q{
		\set VERBOSITY sqlstate
		\set ON_ERROR_STOP 0
		CREATE EXTENSION IF NOT EXISTS btree_gist;
		ALTER TABLE contacts DROP CONSTRAINT contacts_pkey, ADD at daterange DEFAULT '[2026-01-01,2026-02-01)',
			ADD PRIMARY KEY (id, at WITHOUT OVERLAPS);
		INSERT INTO contacts (id, account, at, marketing_contact_status)
			VALUES (1, 1, DEFAULT, 'marketing'), (1, 1, '[2026-02-01,)', 'marketing');
		COPY contacts (id, account, at, marketing_contact_status) FROM stdin;
2	1	[2026-01-01,2026-03-01)	marketing
2	1	[2026-02-01,)	marketing
\.
		\echo :LAST_ERROR_SQLSTATE
		UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE at @> date '2026-01-10'
			RETURNING id, old.marketing_contact_until_next_update, marketing_contact_until_next_update},
		"23P01\n1||t"
	]);

# Sorts lines where MERGE and WITH need not return them in any order
sub lines
{
	my ($output, $expected) = @_;

	return ref $expected ? join("\n", sort split(/\n/, $output)) : $output;
}

foreach my $case (@cases)
{
	my ($from, $name, $statements, $expected) = @$case;

  SKIP:
	foreach my $fast (qw(on off))
	{
		skip "needs PostgreSQL $from: $name", 2 if $version < $from;
		my $output;

		attached_table($node, 'contacts', 0, 1, 5);
		$node->safe_psql(
			'postgres', q{
			CREATE TABLE parts (id integer PRIMARY KEY, account integer) PARTITION BY RANGE (id);
			CREATE TABLE parts_0 PARTITION OF parts FOR VALUES FROM (0) TO (10);
			CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (10) TO (20);
			SELECT contacts_tier.attach('parts', 'account');
		});
		$node->psql('postgres', "SET contacts_tier.fast_path = $fast;$statements;\n", stdout => \$output);
		is(lines($output, $expected), ref $expected ? join("\n", sort @$expected) : $expected,
			"$name, fast path $fast");
		is_exact($node, 'postgres', "$name, fast path $fast");
		$node->safe_psql('postgres',
			'DROP FUNCTION IF EXISTS so_far() CASCADE; DROP TABLE contacts, parts CASCADE;
			 DROP TABLE contacts_tier_account, contacts_tier_counter, contacts_tier_ledger CASCADE;
			 DELETE FROM contacts_tier.tier; DELETE FROM contacts_tier.plan');
	}
}

done_testing();
