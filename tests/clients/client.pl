# Perl's DBD::mysql: speaks the line protocol of tests/clients/main.rs on standard input and output.
use strict;
use warnings;
use DBI qw(:sql_types);
use Encode qw(encode decode);

binmode STDIN,  ':raw';
binmode STDOUT, ':raw';
$| = 1;
my ( %connections, @out );
my %letters = ( t => "\t", n => "\n", r => "\r" );
my %escapes = ( "\\" => "\\\\", "\t" => "\\t", "\n" => "\\n", "\r" => "\\r" );

sub escaped { my $text = shift; $text =~ s/([\\\t\n\r])/$escapes{$1}/g; return $text }
sub unescaped { my $text = shift; $text =~ s/\\(.)/$letters{$1} \/\/ $1/ge; return $text }
sub say_fields { push @out, join( "\t", @_ ) }

# A value as every client's is shown: see checks.txt. Bytes that are not text are shown in hexadecimal.
sub shown {
    my $value = shift;
    return '\\N' unless defined $value;
    my $bytes = utf8::is_utf8($value) ? encode( 'UTF-8', $value ) : $value;
    my $copy  = $bytes;
    return eval { decode( 'UTF-8', $copy, Encode::FB_CROAK ); 1 } ? escaped($bytes) : '0x' . unpack( 'H*', $bytes );
}

sub bind_one {
    my ( $statement, $at, $text ) = @_;
    my ( $kind, $value ) = ( substr( $text, 0, 1 ), substr( $text, 2 ) );
    if    ( $kind eq 'n' ) { $statement->bind_param( $at, undef ) }
    elsif ( $kind eq 'i' ) { $statement->bind_param( $at, $value, SQL_BIGINT ) }
    elsif ( $kind eq 'd' ) { $statement->bind_param( $at, $value, SQL_DOUBLE ) }
    elsif ( $kind eq 'x' ) { $statement->bind_param( $at, pack( 'H*', $value ), SQL_BLOB ) }
    else                   { $statement->bind_param( $at, decode( 'UTF-8', unescaped($value) ), SQL_VARCHAR ) }
}

sub answer {
    my ( $connection, $statement ) = @_;
    do {
        if ( $statement->{NUM_OF_FIELDS} ) {
            say_fields( 'columns', map { escaped( utf8::is_utf8($_) ? encode( 'UTF-8', $_ ) : $_ ) } @{ $statement->{NAME} } );
            while ( my $row = $statement->fetchrow_arrayref ) { say_fields( 'row', map { shown($_) } @$row ) }
            die $statement->errstr if $statement->err;
        }
        else { say_fields( 'done', $statement->rows, $statement->{mysql_insertid} || '-' ) }
    } while ( $statement->more_results );
    die $connection->errstr if $connection->err;
}

sub run {
    my ( $operation, $name, @fields ) = @_;
    if ( $operation eq 'connect' ) {
        my ( $host, $port, $user, $password, $database, $words ) = @fields;
        my %word = map { $_ => 1 } split / /, $words;
        my $source = "DBI:mysql:database=$database;host=$host;port=$port;mysql_client_found_rows=" . ( $word{found} ? 1 : 0 );
        $source .= ';mysql_compression=1'      if $word{compress};
        $source .= ';mysql_ssl=1'              if $word{tls};
        $source .= ';mysql_local_infile=1'     if $word{local};
        $source .= ';mysql_multi_statements=1' if $word{multi};
        my $options = { RaiseError => 1, PrintError => 0, mysql_enable_utf8mb4 => 1, mysql_server_prepare => 0 };
        $connections{$name} = DBI->connect( $source, $user, $password, $options );
        return say_fields('ok');
    }
    my $connection = $connections{$name};
    if ( $operation eq 'query' || $operation eq 'execute' ) {
        my $prepared = $operation eq 'execute' ? 1 : 0;
        my $sql      = decode( 'UTF-8', unescaped( shift @fields ) );
        my $statement = $connection->prepare( $sql, { mysql_server_prepare => $prepared } );
        bind_one( $statement, $_ + 1, $fields[$_] ) for 0 .. $#fields;
        $statement->execute;
        return answer( $connection, $statement );
    }
    if ( $operation eq 'blob' ) {
        my $sent = substr( join( '', map { chr } 0 .. 255 ) x ( $fields[1] / 256 + 1 ), 0, $fields[1] );
        my $statement = $connection->prepare( $fields[0], { mysql_server_prepare => 1 } );
        $statement->{LongReadLen} = length($sent);
        $statement->bind_param( 1, $sent, SQL_BLOB );
        $statement->execute;
        my $got = $statement->fetchrow_arrayref->[0];
        $statement->finish;
        return say_fields( 'blob', $got eq $sent ? length $got : length($got) . ' other bytes' );
    }
    if ( $operation eq 'stream' || $operation eq 'abandon' ) {
        my $statement = $connection->prepare( unescaped( $fields[0] ), { mysql_use_result => 1 } );
        $statement->execute;
        my $count = 0;
        while ( $statement->fetchrow_arrayref ) {
            $count++;
            if ( $operation eq 'abandon' && $count == 10 ) { $connection->disconnect; return say_fields('ok') }
        }
        return say_fields( 'count', $count );
    }
    if ( $operation eq 'ping' ) { $connection->ping or die 'no answer'; return say_fields('ok') }
    if ( $operation eq 'close' ) { ( delete $connections{$name} )->disconnect; return say_fields('ok') }
    say_fields( 'absent', $operation );
}

while ( my $line = <STDIN> ) {
    chomp $line;
    @out = ();
    my @fields = split /\t/, $line, -1;
    unless ( eval { run(@fields); 1 } ) {
        my $text = utf8::is_utf8($@) ? encode( 'UTF-8', $@ ) : $@;
        say_fields( 'error', $DBI::err || 0, $DBI::state || '-', escaped($text) );
    }
    print map { "$_\n" } @out, 'end';
}
