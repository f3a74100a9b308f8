# One version in all places that name one.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use JSON::PP;
use ContactsTier::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = "$FindBin::RealBin/../..";

my ($version) = slurp_file("$root/contacts_tier.control") =~ /^default_version = '([0-9]+\.[0-9]+\.[0-9]+)'$/m;
isnt($version, undef, 'the control file has a version of three numbers');

my $meta = decode_json(slurp_file("$root/META.json"));
is($meta->{name}, 'contacts_tier', 'META.json: name');
is($meta->{version}, $version, 'META.json: version of the distribution');
is_deeply([ keys %{ $meta->{provides} } ], ['contacts_tier'], 'META.json: provides the extension');

my $provided = $meta->{provides}{contacts_tier};
is($provided->{version}, $version, 'META.json: version of the extension');
is($provided->{file}, "sql/contacts_tier--$version.sql", 'META.json: script');
ok(-e "$root/$provided->{file}", 'the script is there');
ok(-e "$root/$provided->{docfile}", 'the documentation is there');
foreach my $key (qw(abstract maintainer license meta-spec))
{
	ok(defined $meta->{$key}, "META.json: $key");
}

if (-e "$root/sql/frozen" && slurp_file("$root/sql/frozen") =~ /^\Q$version\E$/m)
{
	is(slurp_file("$root/$provided->{file}"), join('', map { slurp_file($_) } sort glob("$root/sql/parts/*.sql")),
		"sql/parts are as version $version was frozen: what changes needs another version, by make freeze VERSION=...");
}

my ($newest) = slurp_file("$root/CHANGELOG.md") =~ /^## (\S+)/m;
is($newest, $version, 'CHANGELOG.md begins with the version');

my $node = new_node('version');
is( $node->safe_psql('postgres', q{SELECT extversion FROM pg_extension WHERE extname = 'contacts_tier'}),
	$version, 'the installed extension has the version');

# Where the library is loaded and the extension is not there, or not any more,
# other tables and their triggers go on.
is( $node->safe_psql(
		'template1', q{
		LOAD 'contacts_tier';
		CREATE TABLE parent (id integer PRIMARY KEY);
		CREATE TABLE child (id integer PRIMARY KEY REFERENCES parent);
		INSERT INTO parent VALUES (1), (2);
		INSERT INTO child VALUES (1);
		UPDATE child SET id = 2;
		CREATE EXTENSION contacts_tier;
		UPDATE child SET id = 1;
		SET client_min_messages = error;
		DROP EXTENSION contacts_tier CASCADE;
		DELETE FROM child RETURNING id;
		DROP TABLE child, parent}),
	'1', 'nothing is ours without the extension');

# Before PostgreSQL 18 a library cannot tell its version.
if ($node->pg_version >= 18)
{
	is( $node->safe_psql(
			'postgres', q{
			LOAD 'contacts_tier';
			SELECT version FROM pg_get_loaded_modules() WHERE module_name = 'contacts_tier'}),
		$version,
		'the library has the version');
}

$node->stop;
done_testing();
