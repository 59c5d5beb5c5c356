# Receives what is posted at a port, and adds each body as a line to a file: perl receive.pl PORT FILE. No shell, since one whose input is
# a socket is what alerts are about.
use strict;
use warnings;
use IO::Socket::INET;

my ($port, $file) = @ARGV;
my $server = IO::Socket::INET->new(LocalAddr => '0.0.0.0', LocalPort => $port, Listen => 64) or die "port $port: $!";
$SIG{PIPE} = 'IGNORE';
while (my $peer = $server->accept) {
    my $length = 0;
    while (defined(my $line = <$peer>)) {
        last if $line =~ /^\r?\n$/;
        $length = $1 if $line =~ /^content-length:\s*(\d+)/i;
    }
    read($peer, my $body, $length);
    open(my $out, '>>', $file) or die "$file: $!";
    print $out "$body\n";
    close $out;
    print $peer "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    close $peer;
}
