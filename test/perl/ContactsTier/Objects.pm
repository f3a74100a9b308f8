# The objects of a database as pg_dump knows them, one by one, those of the extension included.

package ContactsTier::Objects;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(all_objects extension_objects privileges differences);

# What is there, as a hash from what an entry of the dump is about ("FUNCTION contacts_tier
# clock() postgres") to its statements.  pg_dump --binary-upgrade dumps the members
# of an extension, too, with their definitions, comments, privileges and owners.
sub all_objects
{
	my ($node, $database) = @_;
	my ($dump, $stderr) = ('', '');
	my %objects;

	$node->run_log([ 'pg_dump', '--binary-upgrade', '--schema-only', '-d', $node->connstr($database) ], '>', \$dump, '2>', \$stderr)
	  or die "pg_dump fails: $stderr";
	# what differs between any two databases
	$dump =~ s/^\\(?:un)?restrict .*\n//mg;
	$dump =~ s/^-- For binary upgrade, must preserve .*\n(?:SELECT pg_catalog\.binary_upgrade_set_next_.*\n)+\n*//mg;
	$dump =~ s/^SELECT pg_catalog\.binary_upgrade_set_next_.*\n//mg;
	$dump =~ s/^-- For binary upgrade, set (?:heap|toast)'s relfrozenxid .*\n(?:.+\n)+\n*//mg;
	$dump =~ s/^-- set missing value\.\n(?:SELECT pg_catalog\.binary_upgrade_set_missing_value.*\n)+//mg;
	# the names that NOT NULL has since PostgreSQL 18: what an older server has dumped gives a partition
	# those of its own columns, and not its parent's
	$dump =~ s/ CONSTRAINT (?:"[^"]*"|\w+) NOT NULL/ NOT NULL/g;
	$dump =~ s/^(WHERE contype = 'n' AND conrelid = .*) AND\n(?:conname|conkey) IN \(.*\);$/$1;/mg;
	$dump =~ s/^SET default_.*\n//mg;
	$dump =~ s/^SELECT pg_catalog\.binary_upgrade_create_empty_extension\(.*\n//mg;
	my (undef, @entries) = split /^--\n-- Name: /m, $dump;
	foreach my $entry (@entries)
	{
		my ($name, $type, $schema, $owner, $text) = $entry =~ /\A(.*); Type: (.*); Schema: (.*); Owner: (.*)\n--\n+(.*)\z/s
		  or die "an entry of the dump without a head: $entry";

		# below, since what is in the dump also depends on how the privileges came about
		next if $type eq 'ACL';
		$text =~ s/\n\n+/\n/g;
		$text =~ s/\n+(?:--\n-- PostgreSQL database dump complete\n--\n+)?\z/\n/;
		$objects{"$type $schema $name, $owner"} .= $text;
	}
	# version, configuration tables and their conditions
	$objects{extension} = $node->safe_psql(
		$database, q{
		SELECT e.extversion, e.extrelocatable, e.extowner::regrole, e.extnamespace::regnamespace, string_agg(format('%s %s', c::regclass, w), ', ' ORDER BY c::regclass::text)
		FROM pg_extension e LEFT JOIN unnest(e.extconfig, e.extcondition) u (c, w) ON true WHERE e.extname = 'contacts_tier' GROUP BY e.oid});
	foreach my $line (split /\n/, privileges($node, $database))
	{
		$objects{"privileges on $1"} .= "$2\n" if $line =~ /^([^|]*)\|(.*)$/;
	}
	foreach my $table (qw(plan tier source_type tool))
	{
		$objects{"rows of $table"} = $node->safe_psql($database, "SELECT t::text FROM contacts_tier.$table t ORDER BY 1");
	}
	return \%objects;
}

# Who may do what with each member of the extension, and whose it is; without MAINTAIN, which an owner has
# since PostgreSQL 17
sub privileges
{
	my ($node, $database) = @_;

	return $node->safe_psql(
		$database, q{
		WITH member AS (SELECT classid, objid FROM pg_depend WHERE deptype = 'e' AND refclassid = 'pg_extension'::regclass
						AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'contacts_tier')
						UNION SELECT 'pg_namespace'::regclass, 'contacts_tier'::regnamespace),
		object AS (SELECT classid, objid, coalesce(p.proowner, t.typowner, n.nspowner, c.relowner) AS owner, coalesce(
			coalesce(p.proacl, acldefault('f', p.proowner)), coalesce(t.typacl, acldefault('T', t.typowner)),
			coalesce(n.nspacl, acldefault('n', n.nspowner)), coalesce(c.relacl, acldefault('r', c.relowner))) AS acl
			FROM member
			LEFT JOIN pg_proc p ON classid = 'pg_proc'::regclass AND p.oid = objid
			LEFT JOIN pg_type t ON classid = 'pg_type'::regclass AND t.oid = objid
			LEFT JOIN pg_namespace n ON classid = 'pg_namespace'::regclass AND n.oid = objid
			LEFT JOIN pg_class c ON classid = 'pg_class'::regclass AND c.oid = objid)
		SELECT pg_describe_object(classid, objid, 0), owner::regrole,
			   (SELECT string_agg(format('%s: %s%s', CASE grantee WHEN 0 THEN 'public' ELSE grantee::regrole::text END, privilege_type,
										 CASE WHEN is_grantable THEN '*' END), ', ' ORDER BY grantee::regrole::text, privilege_type)
				FROM aclexplode(acl) WHERE privilege_type <> 'MAINTAIN')
		FROM object
		-- arrays and row types are members of their own since PostgreSQL 17, and have no privileges of their own
		WHERE NOT EXISTS (SELECT FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
						  WHERE classid = 'pg_type'::regclass AND t.oid = objid AND (t.typcategory = 'A' OR c.relkind <> 'c'))
		ORDER BY 1});
}

# Those of the extension alone
sub extension_objects
{
	my ($node, $database) = @_;
	my $all = all_objects($node, $database);
	my @own = grep {
		/^extension$|^privileges on / || /^[A-Z ]+ contacts_tier(?:_internal)? / || /^[A-Z ]+ - .*contacts_tier/
		  || $all->{$_} =~ /^ALTER EXTENSION contacts_tier ADD /m
	} keys %$all;
	my %own = map { $_ => $all->{$_} } @own;

	return \%own;
}

# What differs between two sets of objects, a line and then both definitions each, but for the
# lines that $may_differ accepts
sub differences
{
	my ($left, $right, $may_differ) = @_;
	my @lines;

	foreach my $object (sort keys %{ { %$left, %$right } })
	{
		push @lines, "only one has: $object" if !exists $right->{$object};
		push @lines, "only the other one has: $object" if !exists $left->{$object};
		push @lines, "differs: $object\n$left->{$object}\n$right->{$object}"
		  if exists $left->{$object} && exists $right->{$object} && $left->{$object} ne $right->{$object};
	}
	return grep { !$may_differ || !$may_differ->($_) } @lines;
}

1;
