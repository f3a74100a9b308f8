# An application's day with ActiveRecord.
# Rules S4, S5, S8, T2, T3.
#
# Packages: ruby-activerecord ruby-pg

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use ContactsTier::Client;
use Test::More;

my $node = client_node('activerecord');
create_tables($node);
prepare_day($node);
run_day($node, 'ActiveRecord', '/usr/bin/ruby', in_clients('activerecord_day.rb'));
is_day_done($node, 'ActiveRecord');
$node->stop;
done_testing();
