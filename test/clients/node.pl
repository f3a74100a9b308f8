# An application's day with node-postgres, and one with knex.
# Rules S4, S5, S8, T2, T3.
#
# Packages: node=nodejs npm=npm
# Modules of npm: node

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use ContactsTier::Client;
use Test::More;

foreach my $client ('pg', 'knex')
{
	my $node = client_node($client);

	create_tables($node);
	prepare_day($node);
	run_day($node, $client, 'node', in_clients("node/${client}_day.js"));
	is_day_done($node, $client);
	$node->stop;
}
done_testing();
