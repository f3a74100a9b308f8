# Each block of code in docs/clients.md is in the file that the line before it names: one that
# the tests run.
#
# Packages (small):

use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Utils;
use Test::More;

# Without indentation, which is that of the place
sub without_indentation
{
	my ($text) = @_;

	return $text =~ s/^[ \t]+//gmr;
}

my $page = "$FindBin::RealBin/../../docs/clients.md";
my $text = slurp_file($page);
my $blocks = () = $text =~ /^```\w+$/gm;
my $recipes = 0;

while ($text =~ /\(\.\.\/(test\/clients\/[^)]+)\):?\n\n?```\w+\n(.*?)^```$/gms)
{
	my ($file, $code) = ($1, $2);
	my $first = (split /\n/, $code)[0];

	ok(index(without_indentation(slurp_file("$FindBin::RealBin/../../$file")), without_indentation($code)) >= 0,
		"$file has: $first");
	$recipes++;
}
is($recipes, $blocks, 'each block of code names its file');
is(join("\n", grep { length > 120 } split /\n/, $text), '', 'no line is longer than 120 characters');
done_testing();
