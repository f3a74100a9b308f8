# usage_page() in a browser: no text of a page overlaps another one or leaves the page, with
# few and many periods, long names, and the smallest and largest tiers.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use ContactsTier::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my ($browser) = grep { -x } map { ("$_/chromium", "$_/chromium-browser", "$_/google-chrome") } split /:/, $ENV{PATH};
die 'there is no Chromium, which test/check installs' unless $browser;

my $node = new_node('usage_page');

# Says of each page which texts overlap or leave the page, and how many texts there are
my $script = q{
	const reports = [...document.querySelectorAll('section')].map(section => {
		const page = section.querySelector('svg').getBoundingClientRect();
		const texts = [...section.querySelectorAll('svg text')].map(t => [t.textContent, t.getBoundingClientRect()]);
		const faults = [];
		texts.forEach(([words, box], i) => {
			if (box.left < page.left || box.right > page.right || box.top < page.top || box.bottom > page.bottom)
				faults.push('outside: ' + words);
			texts.slice(i + 1).forEach(([others, other]) => {
				if (box.left < other.right && other.left < box.right && box.top < other.bottom && other.top < box.bottom)
					faults.push('overlap: ' + words + ' / ' + others);
			});
		});
		return [texts.length + ' texts, ' + faults.length + ' faults', ...faults].join('\n');
	});
	document.body.replaceChildren(...reports.map(report => {
		const pre = document.createElement('pre');
		pre.append(report);
		return pre;
	}));
};

# The arguments of usage_page() and what they are of: all pages in one document, for a browser is slow to start
sub are_clear
{
	my @pages = @_;
	my $file = $node->basedir . '/page.html';
	my $sections = $node->safe_psql('postgres',
		join ' ', map { "SELECT '<section>' || contacts_tier.usage_page('contacts', $_->[0]) || '</section>';" } @pages);
	my ($out, $err);

	append_to_file($file, "<!DOCTYPE html><meta charset='utf-8'><body>$sections<script>$script</script></body>");
	IPC::Run::run(
		[
			$browser, '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage',
			'--user-data-dir=' . $node->basedir . '/browser', '--dump-dom', "file://$file"
		],
		'<', \undef, '>', \$out, '2>', \$err, IPC::Run::timeout(120));
	my @reports = $out =~ m{<pre>(.*?)</pre>}sg;
	is(scalar @reports, scalar @pages, 'the browser shows all pages') or diag($err);
	like($reports[$_] // 'nothing', qr/\A[1-9][0-9]+ texts, 0 faults\z/, $pages[$_][1]) foreach 0 .. $#pages;
}

$node->safe_psql(
	'postgres', q{
	CREATE TABLE contacts (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account text);
	SELECT contacts_tier.create_plan('page', ARRAY[1, 10, 20, 50, 1000000000], ARRAY[1, 2, 3, 4, 123456789.99]);
	SELECT contacts_tier.attach('contacts', 'account');
	CREATE PROCEDURE live(account text, months integer) LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM set_config('contacts_tier.now', '2024-01-07 12:00+00', false);
		PERFORM contacts_tier.subscribe('contacts', account, 'page');
		FOR month IN 1 .. months LOOP
			PERFORM set_config('contacts_tier.now', (timestamptz '2024-01-06 12:00+00' + make_interval(months => month))::text, false);
			INSERT INTO contacts (account, marketing_contact_status, marketing_contact_status_source_type)
				SELECT account, 'marketing', 'SOURCE ' || repeat(chr(64 + month % 9), 30) FROM generate_series(1, 3);
			UPDATE contacts c SET marketing_contact_status = 'non_marketing' WHERE c.id IN
				(SELECT min(d.id) FROM contacts d WHERE d.account = live.account AND marketing_contact_status = 'marketing'
					AND marketing_contact_until_next_update IS NULL);
			PERFORM set_config('contacts_tier.now', (timestamptz '2024-01-07 00:05+00' + make_interval(months => month))::text, false);
			CALL contacts_tier.rollover('contacts');
		END LOOP;
		COMMIT;
	END $$;
	SET timezone = 'UTC';
	CALL live('one period', 0);
	CALL live('three periods', 2);
	CALL live(repeat('W<&">', 40), 24);
	SELECT contacts_tier.subscribe('contacts', 'largest', 'page', 1000000000);
	UPDATE contacts_tier_counter SET used = 1000000000, pending = 999999999 WHERE account = 'largest';
});

are_clear(
	[ q{'one period'}, 'one period' ],
	[ q{'three periods'}, 'three periods' ],
	[ q{repeat('W<&">', 40)}, 'long name' ],
	[ q{repeat('W<&">', 40), '2024-01-07'}, '24 periods' ],
	[ q{repeat('W<&">', 40), '1994-01-07'}, '30 years' ],
	[ q{'largest'}, 'the largest tier' ],
	[ q{'nobody'}, 'no subscription' ],
	[ q{'one period', '2100-01-01'}, 'a start to come' ]);

$node->stop;
done_testing();
