# What packages are made of: META.json, the archives of "make dist", builds out of
# the sources' directory, where documents are installed, debian/.

use strict;
use warnings;

use FindBin;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = "$FindBin::RealBin/../..";
my $directory = PostgreSQL::Test::Utils::tempdir;
delete @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL)};

# Run a command in a directory; its output, or undef if it fails
sub output_of
{
	my ($where, @command) = @_;
	my $output;

	mkdir $where;
	my $ok = IPC::Run::run(\@command, '>&', \$output, init => sub { chdir $where or die });
	note $output unless $ok;
	return $ok ? $output : undef;
}

sub make { return output_of($_[0], 'make', '-f', "$root/Makefile", 'with_llvm=no', @_[ 1 .. $#_ ]); }

# PGXN's specification of META.json, version 1.0.0: what must be there, and of which form
my $meta = decode_json(slurp_file("$root/META.json"));
my $version = qr/^(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*)){2}$/;
my $frozen = -e "$root/sql/frozen" && slurp_file("$root/sql/frozen") =~ /^\Q$meta->{version}\E$/m;
my $generated = $frozen ? '' : "|contacts_tier--\Q$meta->{version}\E\.sql\$";
my %term = (tags => $meta->{tags}, name => [ $meta->{name}, keys %{ $meta->{provides} } ]);

ok(defined $meta->{$_}, "META.json has $_") foreach qw(name version abstract maintainer license provides meta-spec);
like($meta->{version}, $version, 'a semantic version');
is($meta->{license}, 'postgresql', 'a license that PGXN knows');
is($meta->{'meta-spec'}{version}, '1.0.0', 'the version of the specification');
ok(!(grep { length() < 2 || m{[\s/\\[:cntrl:]]} } @{ $term{name} }), 'names have no spaces and no slashes');
ok(!(grep { length() > 255 || m{[/\\[:cntrl:]]} } @{ $term{tags} }), 'tags have no slashes');
foreach my $provided (values %{ $meta->{provides} })
{
	ok(defined $provided->{file}, 'a file is provided');
	like($provided->{version}, $version, 'of a semantic version');
}
foreach my $relation (map { values %$_ } values %{ $meta->{prereqs} })
{
	like($relation->{$_}, $version, "a version of $_") foreach keys %$relation;
}

# The archives have what the commit has, and nothing that a build has left.
SKIP:
{
	skip 'no git', 6 unless defined output_of($directory, 'git', '--version');

	my $name = "$meta->{name}-$meta->{version}";
	my @git = ('git', '-c', 'user.name=test', '-c', 'user.email=test', '-c', 'core.autocrlf=false');
	local @ENV{qw(GIT_DIR GIT_WORK_TREE)} = ("$directory/git", $root);
	output_of($root, @git, 'init', '-q');
	output_of($root, @git, 'add', '-A');
	output_of($root, @git, 'commit', '-q', '-m', 'all');
	ok(defined make("$directory/dist", 'dist'), 'make dist');
	like(slurp_file("$directory/dist/$name.zip"), qr/^PK/, 'the zip archive of PGXN');

	my %in = map { $_ => 1 } split /\n/, output_of("$directory/dist", 'tar', '-tzf', "$name.tar.gz");
	ok(!(grep { !m{^\Q$name\E/} } keys %in), 'all is in one directory');
	my @missing = grep { !$in{"$name/$_"} }
	  (qw(META.json Makefile contacts_tier.control README.md LICENSE CHANGELOG.md src/contacts_tier.c
		  expected/s_status.out test/sql/s_status.sql debian/control Dockerfile), map { s{^\Q$root\E/}{}r } glob("$root/sql/parts/*.sql"));
	is("@missing", '', 'nothing is missing');
	is(join(' ', grep { /\.(?:o|bc|so)$|tmp_check$generated/ } keys %in), '', 'nothing that was built');

	output_of($root, @git, 'rm', '-q', '--cached', 'LICENSE');
	is(make("$directory/dist", 'dist'), undef, 'not while there are changes');
}

# A build elsewhere compiles all, also where the sources have been built in their own directory.
my @sources = map { s{^\Q$root\E/}{}r } (glob("$root/src/*.c"), glob("$root/src/*/*.c"));
foreach my $way ([], ["VPATH=$root"])
{
	my $planned = make("$directory/vpath", '-n', @$way) // '';
	is(join(' ', grep { $planned !~ m{ -c -o \Q@{[ s/c$/o/r ]}\E \S*\Q/$_\E} } @sources),
		'', "make @$way compiles all files");
	is($planned =~ m{> sql/contacts_tier--\Q$meta->{version}\E\.sql} ? 1 : 0, $frozen ? 0 : 1, "make @$way generates the script of a version that is not frozen");
}
make("$directory/vpath", 'expected');
is(slurp_file("$directory/vpath/expected/s_status.out"), slurp_file("$root/expected/s_status.out"), 'tests find their results');
make("$directory/vpath", 'clean');
ok(!-e "$directory/vpath/expected" && -e "$root/expected/s_status.out", 'make clean removes the link and nothing else');

# Documents have a directory of their own: a README.md among those of other extensions would be lost.
my $documents = "$directory/installed" . (output_of($directory, $ENV{PG_CONFIG} // 'pg_config', '--docdir') =~ s/\n//r);
make("$directory/vpath", 'install_documents', "DESTDIR=$directory/installed");
ok(-s "$documents/contacts_tier/$_", "$_ is installed") foreach qw(README.md LICENSE docs/clients.md monitoring/alerts.yml);
unlike(make("$directory/vpath", '-n', 'install'), qr{extension/?'?/README}, 'and not beside those of other extensions');
make("$directory/vpath", 'uninstall_documents', "DESTDIR=$directory/installed");
ok(!-e "$documents/contacts_tier", 'uninstalled');

# debian/
my ($packaged) = slurp_file("$root/debian/changelog") =~ /^contacts-tier \((\S+)-\d+\)/;
is($packaged, $meta->{version}, 'debian/changelog begins with the version');
is(slurp_file("$root/debian/control"), slurp_file("$root/debian/control.in") =~ s/PGVERSION/15/gr, 'debian/control is of control.in');
my ($license) = slurp_file("$root/LICENSE") =~ /^(Permission.*)/ms;
my ($copyright) = slurp_file("$root/debian/copyright") =~ /^ (Permission.*)/ms;
is($copyright =~ s/^ \.?//gmr, $license, 'debian/copyright has the license');

done_testing();
