# A document in Markdown, as its examples are tested: test/README.md, "Documents".
#
# A part of a document is a hash with its kind, the line where it begins, and its text:
#
#   sql         statements, with "shown" (the output in the document, if it has one), "shown_line"
#               and "vary" (what differs from run to run); "elsewhere" if in another session
#   file        code that is in the file "file"
#   not run     code, and the "reason"
#   run         statements that the reader does not see, as "role" if they have one
#   role        the role of what follows
#   clock       the time that it is
#   restart     of the server

package ContactsTier::Document;

use strict;
use warnings;

use Encode;
use File::Basename;
use PostgreSQL::Test::Utils;

sub read
{
	my ($class, $path) = @_;
	my $self = bless { path => $path, parts => [], faults => [], next => {} }, $class;

	$self->{lines} = [ split /\n/, slurp_file($path) ];
	for (my $i = 0; $i < @{ $self->{lines} };)
	{
		my $line = $self->{lines}[$i];

		if ($line =~ /^<!-- test: /)
		{
			$i = $self->read_comment($i);
		}
		elsif ($line =~ /^( *)```(.*)$/)
		{
			$i = $self->read_block($i, $1, $2);
		}
		else
		{
			$self->read_prose($line);
			$i++;
		}
	}
	$self->fault(scalar @{ $self->{lines} }, 'a comment has no block after it') if %{ $self->{next} };
	return $self;
}

sub fault
{
	my ($self, $line, $text) = @_;

	push @{ $self->{faults} }, { line => $line, text => $text };
}

# <!-- test: WHAT -->, or <!-- test: WHAT, statements, and --> in a line of its own
sub read_comment
{
	my ($self, $i) = @_;
	my $line = $i + 1;
	my ($words) = $self->{lines}[$i] =~ /^<!-- test: +(.*?)(?: *-->)?$/;
	my $text = '';

	if ($self->{lines}[$i] !~ /-->$/)
	{
		for ($i++; $i < @{ $self->{lines} } && $self->{lines}[$i] ne '-->'; $i++)
		{
			$text .= "$self->{lines}[$i]\n";
		}
	}
	if ($words =~ /^run(?: as (\w+))?$/)
	{
		push @{ $self->{parts} }, { kind => 'run', line => $line, text => $text, role => $1 };
	}
	elsif ($words =~ /^(role|clock|restart)(?: (.*))?$/)
	{
		push @{ $self->{parts} }, { kind => $1, line => $line, text => $2 // '' };
	}
	elsif ($words =~ /^(in|not run|vary|other session)(?:,? (.*))?$/)
	{
		# of the next block only
		$self->{next}{$1} = $2;
	}
	else
	{
		$self->fault($line, "there is no comment \"$words\"");
	}
	return $i + 1;
}

# A link to a file of the tests names the file of the next block in the paragraph, or after it.
sub read_prose
{
	my ($self, $line) = @_;

	if ($line =~ m,\((?:\.\./)?((?:test|examples|monitoring)/[^)#]+)\)[.:]?$,)
	{
		$self->{link} = $1;
	}
	elsif ($line ne '')
	{
		delete $self->{link};
	}
}

sub read_block
{
	my ($self, $i, $indent, $language) = @_;
	my $line = $i + 1;
	my $first = $i + 1;
	my $text = '';
	my %next = %{ $self->{next} };
	my $file = $next{in} // delete $self->{link};

	for ($i++; $i < @{ $self->{lines} } && $self->{lines}[$i] ne "$indent```"; $i++)
	{
		$text .= $self->{lines}[$i] =~ s/^$indent//r . "\n";
	}
	$self->{next} = {};
	if (exists $next{'not run'})
	{
		push @{ $self->{parts} }, { kind => 'not run', line => $line, text => $text, reason => $next{'not run'} };
	}
	elsif (defined $file)
	{
		push @{ $self->{parts} }, { kind => 'file', line => $line, text => $text, file => $file };
	}
	elsif ($language eq 'sql')
	{
		push @{ $self->{parts} },
		  { kind => 'sql', line => $line, text => $text, vary => $next{vary}, elsewhere => exists $next{'other session'} };
	}
	elsif ($language eq '' || $language eq 'text')
	{
		$self->read_output($line, $text, [ $first, $i ], $next{vary});
	}
	else
	{
		$self->fault($line, "a block in \"$language\" is in no file of the tests");
	}
	return $i + 1;
}

# What the statements before it print
sub read_output
{
	my ($self, $line, $text, $lines, $vary) = @_;
	my $part = $self->{parts}[-1];

	if (!$part || $part->{kind} ne 'sql' || defined $part->{shown})
	{
		$self->fault($line, 'an output without statements');
		return;
	}
	@$part{qw(shown shown_line shown_lines)} = ($text, $line, $lines);
	$part->{vary} = $vary if defined $vary;
}

# The roles that the document connects as
sub roles
{
	my ($self) = @_;

	return grep { defined } map { $_->{kind} eq 'role' ? $_->{text} : $_->{role} } @{ $self->{parts} };
}

# Without what differs from run to run, and without blanks at the ends of lines
sub comparable
{
	my ($text, $vary) = @_;

	$text =~ s/[ \t]+$//gm;
	$text =~ s/^\n+|\n+\z//g;
	if (defined $vary)
	{
		$text =~ s/$vary/*/g;
		# nor is the width of a column the same
		$text =~ s/--+/--/g;
		$text =~ s/ +/ /g;
	}
	return $text;
}

# A pattern of what is shown: "..." is any number of lines, and a message may be broken at
# blanks into lines that begin with some.
sub pattern
{
	my ($shown) = @_;
	my $pattern = '';
	my $message = 0;

	foreach my $line (split /\n/, $shown)
	{
		if ($line eq '...')
		{
			$pattern .= "\n" unless $pattern eq '';
			$pattern .= '(?:.*\n)*?.*';
			$message = 0;
			next;
		}
		if ($message && $line =~ /^( +)(\S.*)$/)
		{
			$pattern .= "(?:\n$1| )" . quotemeta($2);
			next;
		}
		$message = $line =~ /^([A-Z]+:  |Asynchronous notification )/;
		$pattern .= "\n" unless $pattern eq '';
		$pattern .= quotemeta($line);
	}
	return $pattern;
}

# How what is shown differs from the end of what psql has printed: '' if it does not.  Errors
# and warnings must be shown.
sub difference
{
	my ($part, $real) = @_;
	my $shown = comparable($part->{shown} // '', $part->{vary});
	my $have = comparable($real, $part->{vary});
	my $rest = $have;

	if (defined $part->{shown})
	{
		my $pattern = pattern($shown);

		return diff($shown, $have) if $shown eq '' && $have ne '';
		return diff($shown, $have) unless $have =~ /^((?:.*\n)*?)$pattern\z/;
		$rest = $1;
	}
	return $rest =~ /^(ERROR|FATAL|WARNING): .*/m ? "an error or warning that is not shown:\n$have" : '';
}

# Lines that are shown with -, lines that psql has printed with +
sub diff
{
	my ($shown, $have) = @_;
	my $directory = PostgreSQL::Test::Utils::tempdir;
	my $out;

	foreach ([ shown => $shown ], [ printed => $have ])
	{
		append_to_file("$directory/$_->[0]", "$_->[1]\n");
	}
	IPC::Run::run([ 'diff', '-U', '1000', '--label', 'shown', '--label', 'printed', "$directory/shown", "$directory/printed" ],
		'>', \$out);
	return $out;
}

# Write the document, with what psql has printed in place of what was shown
sub write
{
	my ($self, $path) = @_;
	my @lines = @{ $self->{lines} };

	foreach my $part (reverse grep { $_->{real} && $_->{shown_lines} } @{ $self->{parts} })
	{
		my ($first, $end) = @{ $part->{shown_lines} };

		splice(@lines, $first, $end - $first, split(/\n/, $part->{real} =~ s/[ \t]+$//gmr));
	}
	unlink $path;
	append_to_file($path, join("\n", @lines) . "\n");
}

# Lines of more than so many characters
sub long_lines
{
	my ($self, $width) = @_;
	my $number = 0;
	my @long;

	foreach my $line (@{ $self->{lines} })
	{
		$number++;
		push @long, "$number: " . substr($line, 0, 50) if length(decode('UTF-8', $line)) > $width;
	}
	return @long;
}

# Names of the headings, as GitHub makes them
sub anchors
{
	my ($path) = @_;
	my %anchors;
	my $code = 0;

	foreach my $line (split /\n/, slurp_file($path))
	{
		$code = !$code if $line =~ /^ *```/;
		next if $code || $line !~ /^#+ +(.*?) *$/;
		my $name = lc($1 =~ s/\[([^\]]*)\]\([^)]*\)/$1/gr);
		$name =~ s/[^\w\- ]//g;
		$name =~ s/ /-/g;
		$name .= "-$anchors{$name}" if $anchors{$name}++;
		$anchors{$name} //= 1;
	}
	return \%anchors;
}

# Links to files and headings that do not exist
sub broken_links
{
	my ($self) = @_;
	my $text = join("\n", @{ $self->{lines} });
	my @broken;

	$text =~ s/^ *```.*?^ *```$//gms;
	$text =~ s/`[^`\n]*`//g;
	while ($text =~ /\]\(([^)\s]+)\)/g)
	{
		my ($target, $anchor) = split /#/, $1, 2;
		next if $1 =~ /^\w+:/;
		my $path = $target eq '' ? $self->{path} : dirname($self->{path}) . "/$target";

		if (!-e $path)
		{
			push @broken, " $1";
		}
		elsif (defined $anchor && !anchors($path)->{$anchor})
		{
			push @broken, " $1";
		}
	}
	return @broken;
}

1;
