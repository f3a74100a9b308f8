# Random statements for the clients of the torture test, of every kind that
# changes contacts.

package Statements;

use strict;
use warnings;

use Exporter 'import';
our @EXPORT_OK = qw(one_row_statement any_statement transaction timed_statement prepared_transaction administration);

# the first, small ones are where the limits are fought for
my @accounts = qw(block block block grace grace cap cap upgrade upgrade annual loose large none);

# Set: nothing that may touch a second contact, by a trigger or its key.
our $calm = 0;

# Contacts have the ids 1 to MAX_ID; the ids above are of misbehaving triggers.
use constant MAX_ID => 300;

sub pick { return $_[ rand @_ ]; }
sub chance { return rand() < shift; }
sub id { return 1 + int rand MAX_ID; }
sub account { return pick(@accounts); }
sub region { return int rand 3; }

# Mostly a table as such, and now and then a partition directly
sub table { return pick('contacts', 'contacts', 'leads', 'leads', 'leads_' . region()); }

# Notes make triggers misbehave.
sub note { return chance(0.9) ? 'NULL' : pick("'drop'", "'fail'", $calm ? "'x'" : "'nest'"); }

# One that does not exist makes a foreign key fail, late.
sub company { return chance(0.95) ? 1 + int rand 10 : 99; }

my %conflict = (contacts => '(id)', leads => '(id, region)');

# Column => value for a new contact of a table
sub new_row
{
	my ($table) = @_;
	my %row = (id => id(), account => "'" . account() . "'", company => company(), note => note());

	$row{account} = 'NULL' if chance(0.01);
	$row{region} = $1 if $table =~ /^leads_(.)/;
	$row{region} = region() if $table eq 'leads';
	$row{partner} = company() if $table eq 'contacts' && chance(0.1);
	$row{marketing_contact_status} = pick("'marketing'", "'marketing'", "'non_marketing'") if chance(0.7);
	$row{marketing_contact_status_source_type} = pick("'FORM'", "'FORM'", "'IMPORT'") if chance(0.5);
	$row{marketing_contact_until_next_update} = 'true' if chance(0.05);
	return \%row;
}

sub insert
{
	my ($table, $row) = @_;
	my @columns = sort keys %$row;

	return "INSERT INTO $table (" . join(', ', @columns) . ') VALUES (' . join(', ', @$row{@columns}) . ')';
}

# What an UPDATE sets
sub change
{
	my ($table) = @_;

	return pick(
		"marketing_contact_status = 'marketing'",
		"marketing_contact_status = 'marketing'",
		"marketing_contact_status = 'marketing', note = " . note(),
		"marketing_contact_status = 'non_marketing'",
		'marketing_contact_until_next_update = true',
		'marketing_contact_until_next_update = NULL',
		"account = '" . account() . "'",
		"account = '" . account() . "', marketing_contact_status = 'marketing'",
		'company = ' . company(),
		'note = ' . note(),
		$calm ? "note = 'x'" : $table eq 'leads' ? 'region = ' . region() : 'id = ' . id());
}

# A statement that changes at most one row
sub one_row_statement
{
	my $table = table();
	my $root = $table =~ /^leads/ ? 'leads' : 'contacts';

	return pick(
		sub { insert($table, new_row($table)) },
		sub { insert($table, new_row($table)) },
		sub { insert($root, new_row($root)) . ' ON CONFLICT DO NOTHING' },
		sub {
			insert($root, new_row($root))
			  . " ON CONFLICT $conflict{$root} DO UPDATE SET account = excluded.account, marketing_contact_status = "
			  . pick("'marketing'", 'excluded.marketing_contact_status', "'non_marketing'");
		},
		# the contacts that exist are few, so these come up more often
		(sub { "UPDATE $table SET " . change($table) . ' WHERE id = ' . id() . ($root eq 'leads' ? ' AND region = ' . region() : '') }) x 8,
		(sub { "DELETE FROM $table WHERE id = " . id() . ($root eq 'leads' ? ' AND region = ' . region() : '') }) x 2,
		sub {
			sprintf q{MERGE INTO contacts c USING (VALUES (%d)) AS n (id) ON c.id = n.id
				WHEN MATCHED AND c.note IS NOT NULL THEN DELETE
				WHEN MATCHED THEN UPDATE SET %s
				WHEN NOT MATCHED THEN INSERT (id, account, marketing_contact_status) VALUES (n.id, '%s', 'marketing')},
			  id(), change('merge') =~ s/\bid = \d+/note = 'x'/r, account();
		},
		sub {
			sprintf q{WITH gone AS (DELETE FROM contacts WHERE id = %d RETURNING id, account, marketing_contact_status)
				INSERT INTO leads (id, account, marketing_contact_status, region) SELECT gone.*, %d FROM gone},
			  id(), region();
		})->();
}

sub copy_statement
{
	my @rows = map { id() . '\t' . account() . '\t' . pick('marketing', '\\\\N', 'non_marketing') } 1 .. 1 + rand 5;

	return "COPY contacts (id, account, marketing_contact_status) FROM PROGRAM '/bin/printf \"" . join('\n', @rows) . "\\n\"'";
}

# A statement that may change many rows
sub many_rows_statement
{
	my $table = table();
	my $root = $table =~ /^leads/ ? 'leads' : 'contacts';
	my $from = id();
	my $to = $from + int rand 20;
	my $region = $root eq 'leads' ? ', ' . region() : '';
	my $region_column = $root eq 'leads' ? ', region' : '';

	return pick(
		sub {
			"INSERT INTO $root (id, account, marketing_contact_status$region_column) VALUES "
			  . join(', ', map { '(' . id() . ", '" . account() . "', " . pick("'marketing'", 'NULL') . "$region)" } 1 .. 1 + rand 6)
			  . pick('', ' ON CONFLICT DO NOTHING');
		},
		sub {
			"INSERT INTO $root (id, account, marketing_contact_status$region_column)"
			  . " SELECT i, '" . account() . "', 'marketing'$region FROM generate_series($from, $to) i"
			  . pick(' ON CONFLICT DO NOTHING',
				" ON CONFLICT $conflict{$root} DO UPDATE SET marketing_contact_status = excluded.marketing_contact_status");
		},
		# the last row fails
		sub {
			'INSERT INTO contacts (id, account, company, note, marketing_contact_status) VALUES '
			  . join(', ', map { '(' . id() . ", '" . account() . "', 1, NULL, 'marketing')" } 1 .. 3)
			  . ', (' . id() . ', ' . pick("'block', 99, NULL", "'block', 1, 'fail'", "'none', 1, NULL") . ", 'marketing')";
		},
		(sub { "UPDATE $table SET " . change('many') =~ s/\bid = \d+/id = -id/r . " WHERE id BETWEEN $from AND $to" }) x 3,
		sub { "UPDATE $table SET marketing_contact_status = 'marketing' WHERE account = '" . account() . "'" },
		(sub { "DELETE FROM $table WHERE id BETWEEN $from AND $to" }) x 2,
		sub { 'DELETE FROM contacts WHERE id > ' . MAX_ID . ' OR id < 0' },
		sub { copy_statement() },
		sub {
			"MERGE INTO contacts c USING generate_series($from, $to) AS n (id) ON c.id = n.id"
			  . " WHEN MATCHED AND n.id % 3 = 0 THEN DELETE"
			  . " WHEN MATCHED THEN UPDATE SET marketing_contact_status = 'marketing'"
			  . " WHEN NOT MATCHED THEN INSERT (id, account, marketing_contact_status) VALUES (n.id, '" . account() . "', 'marketing')";
		},
		sub {
			"WITH moved AS (UPDATE contacts SET account = '" . account() . "' WHERE id BETWEEN $from AND $to RETURNING id),"
			  . " gone AS (DELETE FROM leads WHERE id BETWEEN $from AND $to RETURNING id)"
			  . " INSERT INTO contacts (id, account, marketing_contact_status)"
			  . " SELECT -id, '" . account() . "', 'marketing' FROM gone ON CONFLICT DO NOTHING";
		})->();
}

# A statement that fails when its first rows have been counted but the counters
# do not know of them yet.
sub late_failure
{
	my $new = 100000 + int rand 1000000;
	my $failure = pick('99, NULL', "1, 'fail'");
	my $from = id();
	my $some = "WHERE id BETWEEN $from AND $from + 20";

	return pick(
		"INSERT INTO contacts (id, account, company, note, marketing_contact_status)"
		  . " VALUES ($new, 'large', 1, NULL, 'marketing'), ($new + 1, 'large', $failure, 'marketing')",
		"INSERT INTO leads (id, region, account, company, note, marketing_contact_status)"
		  . " VALUES ($new, 1, 'loose', 1, NULL, 'marketing'), ($new + 1, 2, 'large', $failure, 'marketing')",
		"UPDATE contacts SET account = 'large', marketing_contact_status = 'marketing', company = CASE WHEN id % 5 = 0 THEN 99 ELSE 1 END $some",
		"WITH gone AS (DELETE FROM contacts $some RETURNING id)"
		  . " INSERT INTO leads (id, account, company) SELECT $new + id, 'large', 99 FROM gone");
}

sub any_statement { return chance(0.6) ? one_row_statement() : many_rows_statement(); }

# An anonymous block that catches what fails in it, or fails by itself
sub block
{
	my ($outer, $inner, $last) = (any_statement(), chance(0.5) ? late_failure() : any_statement(), any_statement());
	my $failure = pick("RAISE EXCEPTION 'late failure'", 'NULL', 'PERFORM 1 / 0');

	return "DO \$block\$ BEGIN $outer; BEGIN $inner; $failure; EXCEPTION WHEN OTHERS THEN NULL; END; $last; END \$block\$";
}

# Statements of a transaction, with savepoints
sub transaction
{
	my @statements = ('BEGIN ISOLATION LEVEL ' . pick('READ COMMITTED', 'READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE'));
	my $depth = 0;

	for (1 .. 1 + rand 4)
	{
		push @statements, 'SAVEPOINT late', late_failure(), 'ROLLBACK TO late' if chance(0.3);
		if (chance(0.3))
		{
			push @statements, 'SAVEPOINT s' . ++$depth;
		}
		push @statements, chance(0.2) ? block() : any_statement();
		if ($depth > 0 && chance(0.5))
		{
			push @statements, pick('ROLLBACK TO', 'ROLLBACK TO', 'RELEASE') . " s$depth";
			$depth-- if $statements[-1] =~ /RELEASE/;
		}
	}
	return (@statements, chance(0.75) ? 'COMMIT' : 'ROLLBACK');
}

sub prepared_transaction
{
	my ($gid) = @_;

	return ('BEGIN', any_statement(), "PREPARE TRANSACTION '$gid'", pick('COMMIT', 'ROLLBACK') . " PREPARED '$gid'");
}

# A statement that may be cancelled half-way
sub timed_statement
{
	return ('SET statement_timeout = ' . (1 + int rand 10), any_statement(), 'RESET statement_timeout');
}

# What else happens to accounts; "$now" is the clock of the test
sub administration
{
	my ($schema) = @_;

	return pick(
		(sub { "CALL contacts_tier.rollover('contacts', batch_size => " . (1 + int rand 5) . ')' }) x 4,
		sub { 'CALL contacts_tier.rollover()' },
		sub { "CALL contacts_tier.rollover('leads', '" . account() . "')" },
		sub {
			"SELECT contacts_tier.set_policy('contacts', 'loose', "
			  . pick("'block'", "'upgrade'", "'cap'", 'auto_downgrade => true', 'grace => 5', 'grace => 0', "thresholds => '{50}'", "thresholds => '{10,90}'") . ')';
		},
		sub { "SELECT contacts_tier.change_tier('contacts', 'loose', " . pick(20, 40, 400) . ')' },
		sub { "SELECT FROM contacts_tier.usage('contacts')" },
		sub { 'VACUUM contacts_tier_counter' },
		sub { pick('TRUNCATE leads', 'TRUNCATE leads_1', 'TRUNCATE contacts, leads') })->();
}

1;
