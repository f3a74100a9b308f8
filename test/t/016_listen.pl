# examples/listen tells each notification once, also those of the time when it, the server, or
# whom it posts to was not there.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use ContactsTier::Test;
use IO::Socket::INET;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('listen');
my $state = $node->basedir . '/state';
my $out = $node->basedir . '/out';
my $listener;

attached_table($node, 'c', 2000, 5, 100);
$ENV{LISTEN_RETRY} = 0.2;

sub start_listener
{
	$listener = IPC::Run::start(
		[
			'/usr/bin/python3', "$FindBin::RealBin/../../examples/listen", '--state', $state, @_,
			$node->connstr('postgres') . ' user=listener'
		],
		'<', \undef, '>>', $out, '2>>', $node->basedir . '/errors');
	$node->poll_query_until('postgres',
		q{SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'contacts_tier listen' AND query NOT LIKE 'LISTEN%' AND state = 'idle'})
	  or die 'the listener does not come';
}

# Stop it when it has noted what it has told; otherwise it would rightly tell it again
sub stop_listener
{
	my $count = $node->safe_psql('postgres', 'SELECT count(*) FROM contacts_tier.notifications()');

	foreach (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		last if -e $state && keys %{ decode_json(slurp_file($state))->{told} } == $count;
		select undef, undef, undef, 0.1;
	}
	$listener->kill_kill;
}

# Let an account have so many marketing contacts
sub promote
{
	my ($account, $count) = @_;

	$node->safe_psql(
		'postgres', qq{
		UPDATE c SET marketing_contact_status = 'marketing' WHERE id IN
		(SELECT id FROM c WHERE account = $account AND marketing_contact_status = 'non_marketing' ORDER BY id
		 LIMIT $count - (SELECT count(*) FROM c WHERE account = $account AND marketing_contact_status = 'marketing'))});
}

# What was told, when that much is there
sub is_told
{
	my ($file, $expected, $name) = @_;
	my $told = '';

	foreach (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		my $text = -e $file ? slurp_file($file) : '';

		$told = join ' ', map { my $n = decode_json($_); "$n->{account}:$n->{threshold}" } split /\n/, $text;
		last if length $told >= length $expected;
		select undef, undef, undef, 0.1;
	}
	is($told, $expected, $name);
}

# A port that nobody uses
sub free_port
{
	my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', LocalPort => 0) or die "no port: $!";

	return $socket->sockport;
}

# Another owner attaches tables, too, which this listener may not read
$node->safe_psql(
	'postgres', q{
	CREATE ROLE listener LOGIN;
	GRANT SELECT ON contacts_tier_account, contacts_tier_counter, contacts_tier_ledger TO listener;
	CREATE SCHEMA hidden;
	CREATE TABLE hidden.c (id integer PRIMARY KEY, account integer);
	SELECT contacts_tier.attach('hidden.c', 'account');
});

promote(1, 75);
start_listener();
promote(1, 90);
promote(2, 80);
is_told($out, '1:90 2:75', 'what comes while it listens; nothing of before');

# anybody can notify of anything
$node->safe_psql('postgres', "NOTIFY contacts_tier, '$_'")
  foreach ('nonsense', '[]', '{"schema": 1, "account": "1"}', '{"schema": "public", "account": "x"}', '{"schema": "none", "account": null}',
	'{"schema": "hidden", "account": "1"}', '{"schema": "hidden", "account": null}');
promote(2, 85);
promote(5, 80);
is_told($out, '1:90 2:75 5:75', 'what comes after notifications that are not ours');

# while it is away
stop_listener();
promote(2, 90);
promote(3, 90);
start_listener();
is_told($out, '1:90 2:75 5:75 2:90 3:75 3:90', 'what came while it was away, and nothing twice');

# while the server restarts: what is committed before it is back
$node->restart;
promote(3, 98);
is_told($out, '1:90 2:75 5:75 2:90 3:75 3:90 3:98', 'after a restart of the server');

# an account of another commits late
stop_listener();
my $late = $node->background_psql('postgres');
$late->query_safe(q{BEGIN; UPDATE c SET marketing_contact_status = 'marketing' WHERE account = 4 AND id <= 400});
start_listener();
promote(3, 100);
is_told($out, '1:90 2:75 5:75 2:90 3:75 3:90 3:98 3:100', 'an entry is told');
$late->query_safe('COMMIT');
$late->quit;
is_told($out, '1:90 2:75 5:75 2:90 3:75 3:90 3:98 3:100 4:75', 'and an older one that was committed later');
stop_listener();

# to a server that comes late, and refuses first
my $port = free_port();
start_listener('--post', "http://127.0.0.1:$port/");
promote(4, 90);
append_to_file($node->basedir . '/server.py', <<'PYTHON');
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    refused = False
    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        if not Handler.refused:
            Handler.refused = True
            self.send_error(503)
            return
        with open(sys.argv[2], 'ab') as file:
            file.write(body + b'\n')
        self.send_response(204)
        self.end_headers()
http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()
PYTHON
my $server = IPC::Run::start([ '/usr/bin/python3', $node->basedir . '/server.py', $port, $node->basedir . '/posted' ],
	'<', \undef, '>&', $node->basedir . '/server.log');
is_told($node->basedir . '/posted', '4:90', 'posted when it can be');
stop_listener();
$server->kill_kill;

# by mail, which is refused first, too
$port = free_port();
start_listener('--mail', 'billing@example.com', '--mail-host', '127.0.0.1', '--mail-port', $port);
promote(4, 98);
append_to_file($node->basedir . '/smtp.py', <<'PYTHON');
import email, email.policy, socketserver, sys
class Handler(socketserver.StreamRequestHandler):
    refused = False
    def handle(self):
        self.wfile.write(b'220 test\r\n')
        while line := self.rfile.readline():
            verb = line[:4].upper()
            if verb == b'MAIL' and not Handler.refused:
                Handler.refused = True
                self.wfile.write(b'451 later\r\n')
            elif verb == b'DATA':
                self.wfile.write(b'354 go on\r\n')
                data = b''
                while (line := self.rfile.readline()) not in (b'.\r\n', b''):
                    data += line
                self.save(email.message_from_bytes(data, policy=email.policy.default))
                self.wfile.write(b'250 taken\r\n')
            else:
                self.wfile.write(b'221 bye\r\n' if verb == b'QUIT' else b'250 well\r\n')
    def save(self, mail):
        with open(sys.argv[2] + '.headers', 'a') as file:
            print(mail['To'], mail['Subject'], sep=': ', file=file)
        with open(sys.argv[2], 'a') as file:
            file.write(mail.get_content())
class Server(socketserver.TCPServer):
    allow_reuse_address = True
Server(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()
PYTHON
my $mailed = $node->basedir . '/mailed';
$server = IPC::Run::start([ '/usr/bin/python3', $node->basedir . '/smtp.py', $port, $mailed ],
	'<', \undef, '>&', $node->basedir . '/smtp.log');
is_told($mailed, '4:98', 'mailed when it can be');
is(slurp_file("$mailed.headers"), "billing\@example.com: contacts_tier: threshold of account 4\n", 'with a subject, and once');
like(slurp_file($node->basedir . '/errors'), qr/451/, 'after it was refused');
stop_listener();
$server->kill_kill;

$node->stop;
done_testing();
