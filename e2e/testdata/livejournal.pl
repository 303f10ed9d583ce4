# LiveJournal's protocol with XMLRPC::Lite, as LiveJournal's documentation has it: livejournal.pl USER PASSWORD URL URL URL
use strict;
use warnings;
use Digest::MD5 qw(md5_hex);
use XMLRPC::Lite;

my ($user, $password, @urls) = @ARGV;

sub ask {
    my ($node, $mode, %arguments) = @_;
    my $answer = XMLRPC::Lite->proxy("$urls[$node]/interface/xmlrpc")->call("LJ.XMLRPC.$mode", \%arguments);
    die "$mode: no answer" unless defined $answer;
    return $answer;
}

sub result {
    my $answer = ask(@_);
    die "$_[1]: " . $answer->faultstring if $answer->fault;
    return $answer->result;
}

sub fault {
    my ($want, @call) = @_;
    my $answer = ask(@call);
    die "$call[1]: no fault" unless $answer->fault;
    die "$call[1]: fault " . $answer->faultcode . ", want $want" unless $answer->faultcode == $want;
}

my $issued = result(0, 'getchallenge');
die "no challenge" unless $issued->{challenge} =~ /^c0:/ && $issued->{auth_scheme} eq 'c0';
my %proof = (
    username => $user, auth_method => 'challenge', auth_challenge => $issued->{challenge},
    auth_response => md5_hex($issued->{challenge} . md5_hex($password)),
);
my $made = result(1, 'sessiongenerate', %proof, expiration => 'short', ipfixed => 1);
my (undef, $name, $number) = split /:/, $made->{ljsession};
die "got $made->{ljsession}" unless $name eq $user && $number > 0;
fault(101, $_, 'sessiongenerate', %proof) for 0 .. 2;
fault(101, 0, 'login', username => $user, password => 'wrong');
die "login" unless result(2, 'login', username => $user, hpassword => md5_hex($password))->{username} eq $user;
result(2, 'sessionexpire', username => $user, password => $password, expire => [$number]);
result(2, 'sessionexpire', username => $user, password => $password, expireall => 1);
print "all good\n";
