# An application's day with the JDBC driver.
# Rules S4, S5, S8, T2, T3.
#
# Packages: javac=default-jdk-headless libpostgresql-jdbc-java

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use ContactsTier::Client;
use Test::More;

my $node = client_node('jdbc');
create_tables($node);
prepare_day($node);
# the driver does not know Unix-domain sockets
$ENV{PGHOST} = '127.0.0.1';
run_day($node, 'JDBC', 'java', '-Xshare:auto', '-XX:TieredStopAtLevel=1', '-cp', '/usr/share/java/postgresql.jar', in_clients('Day.java'));
$ENV{PGHOST} = $node->host;
is_day_done($node, 'JDBC');
$node->stop;
done_testing();
