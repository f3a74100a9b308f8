# The examples in README.md and docs/*.md do what the documents say: statements are run in
# their order, in a new database for each document, and what psql prints is compared with what
# the document shows.  test/README.md, "Documents", says how examples are written.
#
# DOCUMENTS='README.md docs/billing.md' names the documents to test; DOCUMENTS_OUT=DIRECTORY
# has them written there with the output of psql in place of what differs.
#
# Cites no rule: what is promised has tests of its own.

use strict;
use warnings;

use Cwd 'abs_path';
use File::Basename;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use ContactsTier::Document;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = abs_path("$FindBin::RealBin/../..");
my @all = map { s,^\Q$root\E/,,r } "$root/README.md", sort glob("$root/docs/*.md");
my @chosen = $ENV{DOCUMENTS} ? split(' ', $ENV{DOCUMENTS}) : @all;
# Where psql is called, as if in a clone
my $scratch = PostgreSQL::Test::Utils::tempdir;
symlink("$root/examples", "$scratch/examples");

# A server that has what the documents speak of.  The superuser is postgres; app owns the database
# and is not a superuser.
my $node = PostgreSQL::Test::Cluster->new('documents');
$node->init(allows_streaming => 'logical', extra => [ '--encoding=UTF8', '--locale=C', '--username=postgres' ]);
$node->append_conf('postgresql.conf', q{
	timezone = 'UTC'
	max_prepared_transactions = 10
	shared_preload_libraries = 'pg_cron'
	cron.database_name = 'crm'
	cron.use_background_workers = on
	max_worker_processes = 20});
$ENV{PGUSER} = 'postgres';
delete @ENV{qw(PGOPTIONS PAGER PSQL_PAGER PGTZ)};
$node->start;
$node->safe_psql('postgres', 'CREATE ROLE app LOGIN');

# The statements of a document in one psql script, with a line before and after each example
sub script_of
{
	my ($document) = @_;
	my $role = 'app';
	my $number = 0;
	my $script = '';

	foreach my $part (@{ $document->{parts} })
	{
		my ($kind, $text) = @$part{qw(kind text)};

		$part->{number} = ++$number;
		$script .= "\\echo <<<$number>>>\n";
		if ($kind eq 'role')
		{
			$role = $text;
			$script .= "\\connect - $role\n";
		}
		elsif ($kind eq 'clock')
		{
			my $set = $text eq '' ? 'RESET contacts_tier.now' : "SET contacts_tier.now = :'time'";
			my $time = $text =~ /^\+(.*)/ ? "now() + interval '$1'" : "'$text'";
			$script .= elsewhere($number, 'postgres',
				"SELECT $time AS time \\gset\nALTER DATABASE crm $set;\nALTER DATABASE crm SET contacts_tier.clock_warning = off;\n")
			  . "\\connect - $role\n";
		}
		elsif ($kind eq 'restart')
		{
			$script .= '\! pg_ctl -s -m fast -D ' . $node->data_dir . ' -l ' . $node->logfile . " restart\n\\connect - $role\n";
		}
		elsif ($kind eq 'run')
		{
			$script .= $part->{role} ? elsewhere($number, $part->{role}, $text) : $text;
		}
		elsif ($kind eq 'sql')
		{
			$script .= $part->{elsewhere} ? elsewhere($number, $role, $text) : $text;
		}
		$script .= "\\echo <<<$number end>>>\n";
	}
	return $script;
}

# Statements in a session of their own, which ends with them
sub elsewhere
{
	my ($number, $role, $text) = @_;
	my $file = "$scratch/$number.sql";

	unlink $file;
	append_to_file($file, $text);
	return "\\! psql -X -U $role -d crm <$file 2>&1\n";
}

# What psql prints for each part of a document
sub run_document
{
	my ($document) = @_;
	my ($out, %printed);

	$node->safe_psql('postgres', 'DROP DATABASE IF EXISTS crm WITH (FORCE)');
	foreach my $role ($document->roles)
	{
		$node->safe_psql('postgres', "CREATE ROLE $role LOGIN")
		  unless $node->safe_psql('postgres', "SELECT count(*) FROM pg_roles WHERE rolname = '$role'");
	}
	$node->safe_psql('postgres', 'CREATE DATABASE crm OWNER app');
	# the scheduler of pg_cron has ended with the database of the document before
	$node->restart if grep { $_->{text} =~ /CREATE EXTENSION pg_cron/ } @{ $document->{parts} };
	local $ENV{PGHOST} = $node->host;
	local $ENV{PGPORT} = $node->port;
	chdir $scratch;
	my $script = script_of($document);
	IPC::Run::run([ 'psql', '-X', '-U', 'app', '-d', 'crm' ], '<', \$script, '>&', \$out, IPC::Run::timeout(300));
	chdir $root;
	while ($out =~ /^<<<(\d+)>>>\n(.*?)^<<<\1 end>>>\n/gms)
	{
		$printed{$1} = $2;
	}
	return \%printed;
}

# Is the code, but for its indentation, in a file of the tests?
sub is_in_file
{
	my ($part, $name) = @_;
	my $file = "$root/$part->{file}";
	my ($have, $want) = map { s/^[ \t]+//gmr } -e $file ? slurp_file($file) : '', $part->{text};

	ok(index($have, $want) >= 0, "$name is in $part->{file}");
}

sub test_document
{
	my ($path) = @_;
	my $document = ContactsTier::Document->read("$root/$path");
	my $printed = run_document($document);

	fail("$path:$_->{line}: $_->{text}") foreach @{ $document->{faults} };
	foreach my $part (@{ $document->{parts} })
	{
		my $name = "$path:$part->{line}";
		my $real = $printed->{ $part->{number} };

		if ($part->{kind} eq 'file')
		{
			is_in_file($part, $name);
		}
		elsif ($part->{kind} eq 'not run')
		{
			note("$name is not run: $part->{reason}");
		}
		elsif (!defined $real)
		{
			fail("$name is run");
		}
		elsif ($part->{kind} eq 'sql')
		{
			my $diff = ContactsTier::Document::difference($part, $real);
			is($diff, '', $name) or $part->{real} = $real;
		}
		else
		{
			unlike($real, qr/^(psql: .*)?(ERROR|FATAL|error): /m, "$name ($part->{kind})");
		}
	}
	$document->write("$ENV{DOCUMENTS_OUT}/" . basename($path)) if $ENV{DOCUMENTS_OUT};
}

# Lines that are too long, and links that lead nowhere
sub test_text
{
	my ($path) = @_;
	my $document = ContactsTier::Document->read("$root/$path");

	is(join("\n", map { "$path:$_" } $document->long_lines(120)), '', "$path has no line of more than 120 characters");
	is(join("\n", map { "$path:$_" } $document->broken_links), '', "each link of $path leads somewhere");
}

foreach my $path (@chosen)
{
	test_document($path);
	test_text($path);
}
if (!$ENV{DOCUMENTS})
{
	test_text($_) foreach map { s,^\Q$root\E/,,r } grep { !m,/README\.md$, } glob("$root/*.md");
	test_text('test/README.md');
	cmp_ok(-s "$root/README.md", '<=', 10240, 'README.md is short');
}

$node->stop;
done_testing();
