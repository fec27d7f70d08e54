# Writes perl.xlsx and perl.xls. From Debian: libexcel-writer-xlsx-perl, libspreadsheet-writeexcel-perl.
use strict;
use utf8;
use Excel::Writer::XLSX;
use Spreadsheet::WriteExcel;

for my $kind (['Excel::Writer::XLSX', 'perl.xlsx'], ['Spreadsheet::WriteExcel', 'perl.xls']) {
    my $book = $kind->[0]->new($kind->[1]);
    my $sheet = $book->add_worksheet('Edits');
    my $date = $book->add_format(num_format => 'dd/mm/yyyy hh:mm');
    my $zeros = $book->add_format(num_format => '00000000');
    my @header = ('id', 'title', 'dueDate', 'priority');
    $sheet->write_string(0, $_, $header[$_]) for 0 .. 3;
    $sheet->write_string(1, 0, 'opp_1');
    $sheet->write_string(1, 1, 'Zoé 😀');
    $sheet->write_date_time(1, 2, '2026-12-01T09:00', $date);
    $sheet->write_number(1, 3, 2);
    # It computes no formula, and stores 0.
    $sheet->write_string(2, 0, 'opp_2');
    $sheet->write_formula(2, 3, '=1+1');
    $sheet->write_number(3, 0, 123, $zeros);
    $sheet->write_string(3, 1, 'zeros');
    $sheet->write_string(4, 0, 'opp_4');
    $sheet->write_formula(4, 3, '=1+1', undef, 2);
    $book->close;
}
