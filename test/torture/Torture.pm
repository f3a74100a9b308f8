# Torture test: many clients change contacts in every way at once, while
# backends are killed and the server crashes, and other sessions compare the
# counters with the contacts all along.
#
#	my $torture = Torture->new(node => $node, seconds => 60);
#	$torture->mixed_phase(seconds => 30, ...);
#	...
#	foreach ($torture->violations) { ... }

package Torture;

use strict;
use warnings;

use FindBin;
use IO::Handle;
use IPC::Open3;
use IPC::Run;
use POSIX ();
use Time::HiRes qw(sleep time);

use PostgreSQL::Test::Utils;
use Statements qw(one_row_statement any_statement transaction timed_statement prepared_transaction administration);

# A phase that has not ended by itself so long after its time hangs.
use constant PATIENCE => 120;

# Violations that are told of a phase; the others are only counted.
use constant MAX_TOLD => 10;

# Days of the accounts' calendar that pass in a second
use constant DAYS_PER_SECOND => 6;
use constant FIRST_DAY => 1706745600;	# 2024-02-01, when they subscribed

# Failures that the statements provoke.  Whatever else fails is a violation.
my %expected = (
	'MC001' => 'tier exceeded',
	'MC002' => 'no marketing contacts',
	'23503' => 'foreign key',
	'22012' => 'division by zero',
	'21000' => 'MERGE or ON CONFLICT of one row twice',
	'23505' => 'duplicate contact',
	'P0001' => 'late failure',
	'25P02' => 'transaction is aborted',
	'3B001' => 'savepoint is gone',
	'25P01' => 'no transaction',
	'42704' => 'prepared transaction is gone',
	'0A000' => 'NOTIFY in a prepared transaction',
	'23514' => 'row is not of this partition',
	'38000' => 'program of COPY killed with its backend',
	'40001' => 'serialization failure',
	'40P01' => 'deadlock',
	'55000' => 'rollover of an account failed',
	'55P03' => 'table is locked where an update date has passed',
	'57014' => 'statement timeout',
	'57P01' => 'backend terminated',
	'57P02' => 'crash of another backend',
	'57P03' => 'server not up');

sub new
{
	my ($class, %arg) = @_;

	return bless {
		node => $arg{node},
		seconds => $arg{seconds},
		schema => undef,
		pgoptions => '',
		counts => {},
		violations => [],
		started => time()
	}, $class;
}

sub violations { return @{ $_[0]{violations} }; }

sub count
{
	my ($self, $what, $n) = @_;

	$self->{counts}{$what} += $n // 1;
}

sub violation
{
	my ($self, $text) = @_;

	$self->count('violations');
	push @{ $self->{violations} }, "$self->{phase}: $text" if $self->{told}{ $self->{phase} }++ < MAX_TOLD;
}

# A line of the report, in the log and where TORTURE_REPORT says
sub report
{
	my ($self, $text) = @_;

	Test::More::note($text);
	return unless $ENV{TORTURE_REPORT};
	open my $file, '>>', $ENV{TORTURE_REPORT} or die "cannot write $ENV{TORTURE_REPORT}: $!";
	print $file "$text\n";
	close $file;
}

# Make a schema with tables and accounts, and let all that follows work in it.
sub use_schema
{
	my ($self, $schema) = @_;
	my $node = $self->{node};

	$self->{schema} = $schema;
	$self->{pgoptions} = "-c search_path=$schema";
	$self->{phase} = "schema $schema";
	$node->safe_psql('postgres', "CREATE SCHEMA $schema; SET search_path = $schema;" . slurp_file("$FindBin::RealBin/../torture/schema.sql"));
}

# Run statements as the clients do, and return the output.
sub query
{
	my ($self, $sql) = @_;

	local $ENV{PGOPTIONS} = $self->{pgoptions};
	return $self->{node}->safe_psql('postgres', $sql);
}

#
# Clients: processes that feed a psql each, batch by batch, and read what it says
#

sub start_psql
{
	my ($self, $name) = @_;
	my ($in, $out);

	local $ENV{PGOPTIONS} = $self->{pgoptions};
	my $pid = open3($in, $out, undef, 'psql', '-X', '-q', '-A', '-t', '-d',
		$self->{node}->connstr('postgres') . " application_name=$name");
	print $in "\\set VERBOSITY verbose\n";
	$in->flush;
	return { pid => $pid, in => $in, out => $out };
}

sub run_batch
{
	my ($self, $psql, $statements, $judge) = @_;

	print { $psql->{in} } join('', map { "$_;\n" } @$statements), "\\echo end of batch\n";
	$psql->{in}->flush;
	$self->count('statements', scalar @$statements);
	$self->count('rollbacks', scalar grep { /^ROLLBACK/ } @$statements);
	while (defined(my $line = readline $psql->{out}))
	{
		return 1 if $line eq "end of batch\n";
		$self->$judge($line);
	}
	return 0;
}

# One line of what psql says: errors, warnings and what snapshots have found
sub judge
{
	my ($self, $line) = @_;

	chomp $line;
	if ($line =~ /^(?:ERROR|FATAL|PANIC):  (\w{5}): (.*)/)
	{
		my ($sqlstate, $message) = ($1, $2);

		$self->count("error $sqlstate");
		if (!exists $expected{$sqlstate}
			|| ($sqlstate eq '23505' && $message !~ /"(contacts|leads(_\d)?)_pkey"/)
			|| ($sqlstate eq '0A000' && $message !~ /PREPARE/)
			|| ($sqlstate eq '55000' && $message !~ /^rollover of/)
			|| $self->{forbidden}{$sqlstate})
		{
			$self->violation("unexpected $line");
		}
		$self->{without_lock} = $line if $sqlstate eq '55P03';
	}
	elsif (defined $self->{without_lock} && $line =~ /^(?:CONTEXT|LOCATION):/)
	{
		# nobody else but who applies a date may have given up
		$self->violation("unexpected $self->{without_lock}")
		  if $line !~ /^CONTEXT:  while locking table .* to apply an update date that has passed/;
		delete $self->{without_lock};
	}
	elsif ($line =~ /^WARNING:  \w{5}: rollover of .* failed: (.*)/)
	{
		$self->count('rollovers that failed for an account');
		$self->violation("unexpected $line") if $1 !~ /deadlock|could not serialize|terminating|late failure/;
	}
	elsif ($line =~ /^compared (\d+)/)
	{
		$self->count('snapshots compared');
		$self->count('accounts compared', $1);
	}
	elsif ($line =~ /^VIOLATION (.*)/)
	{
		$self->violation($1);
	}
}

sub client
{
	my ($self, $name, $until, $batch) = @_;
	my $psql;
	my $stopped = 0;

	local $SIG{TERM} = sub { $stopped = 1; };
	while (!$stopped && time() < $until)
	{
		$psql //= $self->start_psql($name);
		next if $self->run_batch($psql, [ $batch->($self) ], \&judge);
		waitpid $psql->{pid}, 0;
		$psql = undef;
		$self->count('connections lost');
		sleep 0.1;
	}
	if ($psql)
	{
		close $psql->{in};
		waitpid $psql->{pid}, 0;
	}
}

# Start a client in a process of its own, which leaves its findings in a file.
sub start_client
{
	my ($self, @client) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir_short() . '/findings';
	my $pid = fork() // die "cannot fork: $!";

	if ($pid == 0)
	{
		$SIG{PIPE} = 'IGNORE';
		# not the parent's, nor that of another client
		srand($$ ^ int(time() * 1000));
		$self->{counts} = {};
		$self->{violations} = [];
		eval { $self->client(@client); 1 } or $self->violation("client died: $@");
		open my $out, '>', $file or POSIX::_exit(1);
		print $out "count\t$_\t$self->{counts}{$_}\n" foreach keys %{ $self->{counts} };
		print $out "violation\t$_\n" foreach @{ $self->{violations} };
		close $out;
		# none of the parent's END blocks, which stop the server
		POSIX::_exit(0);
	}
	push @{ $self->{clients} }, { pid => $pid, file => $file };
}

sub collect_findings
{
	my ($self, $client) = @_;

	if (!-e $client->{file})
	{
		$self->violation('a client left no findings');
		return;
	}
	foreach (split /\n/, slurp_file($client->{file}))
	{
		my ($kind, $what, $n) = split /\t/;

		$self->{counts}{$what} += $n if $kind eq 'count';
		push @{ $self->{violations} }, $what
		  if $kind eq 'violation' && $self->{told}{ $self->{phase} }++ < MAX_TOLD;
	}
}

# Wait for all clients; one that does not come home is a violation.
sub finish_clients
{
	my ($self, $until) = @_;
	my @waiting = @{ $self->{clients} // [] };

	$self->{clients} = [];
	while (@waiting)
	{
		my @still = grep { waitpid($_->{pid}, POSIX::WNOHANG) == 0 } @waiting;

		foreach my $client (@waiting)
		{
			$self->collect_findings($client) unless grep { $_ == $client } @still;
		}
		@waiting = @still;
		$self->forget_prepared();
		last if time() > $until + PATIENCE;
		sleep 0.2 if @waiting;
	}
	return unless @waiting;
	$self->violation('clients hang: '
		  . $self->query("SELECT json_agg(a) FROM (SELECT pid, pg_blocking_pids(pid), wait_event, state, query FROM pg_stat_activity WHERE state <> 'idle') a"));
	kill 'KILL', map { $_->{pid} } @waiting;
	waitpid $_->{pid}, 0 foreach @waiting;
	$self->query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = \'client backend\'');
}

# A prepared transaction whose client was killed would keep its locks forever.
sub forget_prepared
{
	my ($self) = @_;
	my (undef, $old) = $self->{node}->psql('postgres',
		"SELECT gid FROM pg_prepared_xacts WHERE prepared < clock_timestamp() - interval '1 second'");

	foreach my $gid (split /\n/, $old // '')
	{
		$self->{node}->psql('postgres', "ROLLBACK PREPARED '$gid'");
		$self->count('prepared transactions left behind');
	}
}

#
# What the clients do
#

# The accounts' clock, which all sessions share more or less
sub clock
{
	my ($self) = @_;
	my $days = (($self->{stopped} // time()) - $self->{started}) * DAYS_PER_SECOND;

	return sprintf "SET contacts_tier.now = '%s UTC'",
	  POSIX::strftime('%Y-%m-%d %H:%M:%S', gmtime(FIRST_DAY + $days * 86400));
}

sub any_work
{
	my ($self) = @_;
	my @statements = ($self->clock, 'SET synchronous_commit = ' . (rand() < 0.5 ? 'on' : 'off'));

	foreach (1 .. 10)
	{
		my $what = rand();

		push @statements,
		    $what < 0.40 ? any_statement()
		  : $what < 0.80 ? transaction()
		  : $what < 0.88 ? timed_statement()
		  : $what < 0.90 ? prepared_transaction("torture $$")
		  :                any_statement();
	}
	return @statements;
}

# Transactions of one statement and one contact each: they cannot deadlock on
# contacts, and must not on counters.
sub single_work
{
	my ($self) = @_;

	local $Statements::calm = 1;
	return ($self->clock, map { one_row_statement() } 1 .. 20);
}

sub admin_work
{
	my ($self) = @_;

	return ($self->clock, administration(), 'SELECT pg_sleep(0.05)');
}

# TRUNCATE empties a table for older snapshots too.  So it is kept out, before
# the snapshot is taken.
sub check_work { return (begin_snapshot(), 'SELECT snapshot()', 'COMMIT', 'SELECT pg_sleep(0.005)'); }

sub old_check_work { return (begin_snapshot(), 'SELECT old_snapshot(' . rand(3) . ')', 'COMMIT'); }

sub begin_snapshot
{
	return ('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY', 'LOCK TABLE contacts, leads IN ACCESS SHARE MODE');
}

sub start_checkers
{
	my ($self, $until) = @_;

	$self->start_client('checker', $until, \&check_work) foreach 1 .. 2;
	$self->start_client('checker', $until, \&old_check_work);
}

sub kill_a_client
{
	my ($self) = @_;
	my (undef, $killed) = $self->{node}->psql('postgres',
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'client' ORDER BY random() LIMIT 1");

	$self->count('backends killed') if ($killed // '') eq 't';
}

sub crash
{
	my ($self) = @_;

	$self->{node}->stop('immediate');
	$self->{node}->start;
	$self->count('crashes');
}

# Look at everything when all is quiet, and no rollover is half-way.
sub audit
{
	my ($self) = @_;

	local $ENV{PGOPTIONS} = $self->{pgoptions};
	$self->{node}->psql('postgres', $self->clock . "; CALL contacts_tier.rollover('contacts')", on_error_die => 1)
	  if $self->{phase} =~ /rollovers|mixed/;

	$self->judge($_) foreach split /\n/, $self->query('SELECT audit()');
}

#
# Phases
#

sub begin_phase
{
	my ($self, $name) = @_;

	$self->{phase} = "$name ($self->{schema})";
	$self->{forbidden} = {};
	$self->{phase_started} = time();
	$self->{counts_before} = { %{ $self->{counts} } };
}

sub end_phase
{
	my ($self) = @_;
	my %did = map { $_ => $self->{counts}{$_} - ($self->{counts_before}{$_} // 0) } keys %{ $self->{counts} };
	my @told = map { ($expected{ s/^error //r } // $_) . " $did{$_}" } grep { $did{$_} } sort keys %did;

	$self->report(sprintf '%s, %d s: %s', $self->{phase}, time() - $self->{phase_started}, join(', ', @told));
}

# Every kind of statement and of trouble
sub mixed_phase
{
	my ($self, %arg) = @_;
	my $until = time() + $arg{seconds};
	my @crashes = map { time() + $arg{seconds} * ($_ + 0.5) / $arg{crashes} } 0 .. $arg{crashes} - 1;

	$self->begin_phase('mixed');
	$self->start_client('client', $until, \&any_work) foreach 1 .. $arg{clients};
	$self->start_client('client', $until, \&admin_work) foreach 1 .. 3;
	$self->start_checkers($until);
	while (time() < $until)
	{
		sleep 0.3;
		$self->kill_a_client();
		$self->forget_prepared();
		if (@crashes && time() > $crashes[0])
		{
			shift @crashes;
			$self->crash();
		}
	}
	$self->finish_clients($until);
	$self->audit();
	$self->end_phase();
}

# Single statements alone: no deadlocks.  The clock stands still, with all update
# dates applied: a statement that has to apply one locks contacts besides its own,
# and may meet another that does.  With rollovers it goes on.
sub single_phase
{
	my ($self, %arg) = @_;
	my $until = time() + $arg{seconds};

	$self->begin_phase($arg{rollovers} ? 'single statements and rollovers' : 'single statements');
	$self->{forbidden} = { '40001' => 1 };
	if (!$arg{rollovers})
	{
		$self->{forbidden}{'40P01'} = 1;
		$self->{stopped} = time();
		$self->{node}->psql('postgres', $self->clock . '; CALL contacts_tier.rollover()', on_error_die => 1);
	}
	$self->start_client('client', $until, \&single_work) foreach 1 .. $arg{clients};
	if ($arg{rollovers})
	{
		$self->start_client('client', $until, sub { ($_[0]->clock, 'CALL contacts_tier.rollover(batch_size => 3)') }) foreach 1 .. 2;
	}
	$self->start_checkers($until);
	$self->finish_clients($until);
	delete $self->{stopped};
	$self->audit();
	$self->end_phase();
}

# Run a pgbench script, which retries what may be retried, beside the checkers.
# Its transactions must not fail.
sub pgbench
{
	my ($self, $clients, $transactions, $script) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir() . '/script';
	my $node = $self->{node};
	my $output;

	append_to_file($file, $script);
	local $ENV{PGOPTIONS} = $self->{pgoptions};
	IPC::Run::run(
		[
			'pgbench', '-n', '-c', $clients, '-j', 2, '-t', $transactions, '--max-tries', 1000,
			'-f', $file, '-h', $node->host, '-p', $node->port, 'postgres'
		],
		'>&', \$output)
	  or $self->violation("pgbench failed: $output");
	$self->violation("pgbench has failed transactions: $output")
	  if $output !~ /number of failed transactions: 0 /;
	$self->count('statements', 3 * $clients * $transactions);
	$self->count('transactions retried', $1) if $output =~ /transactions retried: (\d+)/;
}

my $begin = q{
\set level random(1, 4)
\if :level = 1
BEGIN ISOLATION LEVEL REPEATABLE READ;
\elif :level = 2
BEGIN ISOLATION LEVEL SERIALIZABLE;
\else
BEGIN;
\endif
};
my $end = q{
\set fate random(1, 5)
\if :fate = 1
ROLLBACK;
\else
COMMIT;
\endif
};

# A phase of an account of its own, whose end is known beforehand
sub exact_phase
{
	my ($self, $name, $account, $clients, $transactions, $script) = @_;

	$self->begin_phase($name);
	$self->query('ALTER SEQUENCE refusals RESTART');
	# checkers have no other end than a time, so they are stopped
	$self->start_checkers(time() + 3600);
	$self->pgbench($clients, $transactions, $script);
	$self->stop_checkers();
	return ($self->query("SELECT marketing_contacts('$account')"), $self->query('SELECT refused()'));
}

sub stop_checkers
{
	my ($self) = @_;
	my $until = time();

	kill 'TERM', map { $_->{pid} } @{ $self->{clients} };
	$self->finish_clients($until);
}

# Transactions of each client in a phase without a time: fewer in a short run, where limits are
# reached all the same, but fewer versions of slots pile up, which is what takes long
sub transactions
{
	my ($self, $most, $least) = @_;

	return $self->{seconds} >= 60 ? $most : $least;
}

sub expect
{
	my ($self, $what, $got, $expected) = @_;

	$self->violation("$what: $got instead of $expected") if $got ne $expected;
}

# More is wanted than there is: the limit is reached exactly, the thresholds are
# announced once each.
sub exact_limit_phase
{
	my ($self) = @_;
	my ($count, $refused) = $self->exact_phase('more wanted than fits', 'exact', 16, $self->transactions(60, 30),
		"\\set n random(1, 2)\n" . $begin . "SELECT claim('exact', :n);" . $end);

	$self->expect('contacts where the limit was fought for', $count, 400);
	$self->violation('nobody was refused') if $refused == 0;
	$self->judge($_) foreach split /\n/, $self->query("SELECT wrong_thresholds('exact', 2)");
	$self->audit();
	$self->end_phase();
}

# As much is wanted as there is, and never more in flight: nobody is refused.
sub exact_fit_phase
{
	my ($self) = @_;
	my ($count, $refused) = $self->exact_phase('as much wanted as fits', 'fits', 16, 25,
		"\\set ms random(0, 5)\n" . $begin
		  . "SAVEPOINT s; SELECT claim('fits', 1); ROLLBACK TO s; SELECT claim('fits', 1); SELECT pg_sleep(:ms / 1000.0); COMMIT;");

	$self->expect('contacts where all fit', $count, 400);
	$self->expect('refusals where all fit', $refused, 0);
	$self->judge($_) foreach split /\n/, $self->query("SELECT wrong_thresholds('fits', 1)");
	$self->end_phase();

	($count, $refused) = $self->exact_phase('one goes and one comes at the limit', 'fits', 16, $self->transactions(60, 15), $begin . "SELECT swap('fits');" . $end);
	$self->expect('contacts after swapping at the limit', $count, 400);
	$self->expect('refusals when swapping at the limit', $refused, 0);
	$self->audit();
	$self->end_phase();
}

# Contacts come and go around the limit, while versions of slots pile up that an
# old snapshot may still see: slots change their places all the time.
sub churn_phase
{
	my ($self, %arg) = @_;

	local $self->{pgoptions} = "$self->{pgoptions} -c synchronous_commit=off";
	# without what makes transactions linger: many short ones
	$self->query('ALTER TABLE contacts DISABLE TRIGGER linger');
	$self->exact_phase('churn at the limit', 'churns', 32, $arg{transactions}, "SELECT churn('churns');");
	$self->query('ALTER TABLE contacts ENABLE TRIGGER linger');
	$self->audit();
	$self->end_phase();
}

# Many reach the limits of a growing plan at once.
sub upgrade_phase
{
	my ($self) = @_;
	my ($count, $refused) = $self->exact_phase('upgrades by many at once', 'grows', 16, $self->transactions(25, 13),
		"\\set n random(1, 4)\n" . $begin . "SELECT claim('grows', :n);" . $end);

	$self->expect('refusals where the tier grows', $refused, 0);
	$self->expect('tier that was grown to',
		$self->query("SELECT contact_limit FROM contacts_tier_account WHERE account = 'grows'"),
		$self->query("SELECT min(contact_limit) FROM contacts_tier.tier WHERE plan = 'growing' AND contact_limit >= $count"));
	$self->violation('the tier never changed')
	  if $self->query("SELECT count(*) FROM contacts_tier_ledger WHERE account = 'grows' AND event = 'tier_change'") == 0;
	$self->judge($_) foreach split /\n/, $self->query("SELECT wrong_thresholds('grows', 4)");
	$self->audit();
	$self->end_phase();
}

sub check_server_log
{
	my ($self) = @_;

	$self->{phase} = 'server log';
	foreach (split /\n/, slurp_file($self->{node}->logfile))
	{
		$self->violation($_) if /PANIC|TRAP:|was terminated by signal|XX000/;
	}
}

# The whole report
sub summary
{
	my ($self) = @_;
	my $counts = $self->{counts};

	$self->report(join ', ', map { "$_ " . ($counts->{$_} // 0) }
		  'statements', 'rollbacks', 'backends killed', 'crashes', 'snapshots compared', 'accounts compared', 'violations');
	$self->report("VIOLATION $_") foreach $self->violations;
}

1;
